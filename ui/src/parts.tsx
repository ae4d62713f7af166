// Small things that both views show.
import type { ComponentChildren } from "preact";
import type { Tone } from "./model";

const SIGNS: Record<Tone, string> = { ok: "✓", warn: "≠", bad: "✕", wait: "…" };

/** A state in a sign and in words: colour alone says nothing to some. */
export function Status({ tone, sign, children }: { tone: Tone; sign?: string; children: ComponentChildren }) {
  return (
    <span class={`status ${tone}`}>
      <span aria-hidden="true">{sign ?? SIGNS[tone]}</span> {children}
    </span>
  );
}

export function Notice({ tone = "warn", children }: { tone?: Tone; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      {children}
    </div>
  );
}

interface MeterProps {
  used: number | null | undefined;
  of: number | null | undefined;
  mark?: number | null | undefined; // a line within, as a request below a limit
  tone?: Tone;
  label: string; // the whole in words
  children?: ComponentChildren;
}

/** A bar of `used` within `of`. */
export function Meter({ used, of, mark, tone = "ok", label, children }: MeterProps) {
  const whole = of || Math.max(used ?? 0, mark ?? 0) || 1;
  const part = (value: number) => `${Math.min(100, (100 * value) / whole)}%`;
  return (
    <div class="meter">
      <div class={`bar ${tone}`} role="img" aria-label={label}>
        {used != null && <i style={{ width: part(used) }} />}
        {mark != null && of != null && mark < of && <b style={{ left: part(mark) }} />}
      </div>
      {children && <div class="figures">{children}</div>}
    </div>
  );
}

/** A link to a page of Airflow's around the frame. Airflow's frame may not steer the window it stands in, so a link outside of the frame is followed. */
export function Out({ href, children }: { href: string; children: ComponentChildren }) {
  const follow = (event: Event) => {
    if (window.parent === window) return;
    event.preventDefault();
    try {
      const link = window.parent.document.createElement("a");
      link.href = href;
      window.parent.document.body.append(link);
      link.click();
      link.remove();
    } catch {
      location.assign(href); // a frame of somebody else's
    }
  };
  return (
    <a href={href} onClick={follow}>
      {children}
    </a>
  );
}

export function Copy({ text }: { text: string }) {
  return (
    <div class="copy">
      <code>{text}</code>
      <button type="button" onClick={() => void navigator.clipboard?.writeText(text)}>
        Copy
      </button>
    </div>
  );
}
