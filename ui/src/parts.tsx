// Small things that both views show.
import type { ComponentChildren, RefObject } from "preact";
import { useRef, useState } from "preact/hooks";
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

/** Something that is spoken when it comes. What changes all the time, as an age, goes `beside` it: it would be spoken each second. */
export function Notice({ tone = "warn", beside, children }: { tone?: Tone; beside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`}>
      <span role={tone === "bad" ? "alert" : "status"}>{children}</span> {beside}
    </div>
  );
}

/** The first thing that Tab comes to. A mere address `#content` would be another page's here. */
export function Skip({ to }: { to: RefObject<HTMLElement> }) {
  const go = (event: Event) => {
    event.preventDefault();
    to.current?.focus();
  };
  return (
    <a class="skip" href="#content" onClick={go}>
      To the content
    </a>
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

/** A link to a page around the frame, or `apart`, in a window of its own. Airflow's frame may do neither, so a link outside of the frame is followed. */
export function Out({ href, apart, children }: { href: string; apart?: boolean; children: ComponentChildren }) {
  const own = apart ? { target: "_blank", rel: "noopener noreferrer" } : {};
  const follow = (event: Event) => {
    if (window.parent === window) return;
    event.preventDefault();
    try {
      const link = window.parent.document.createElement("a");
      Object.assign(link, { href, ...own });
      window.parent.document.body.append(link);
      link.click();
      link.remove();
    } catch {
      location.assign(href); // a frame of somebody else's
    }
  };
  return (
    <a href={href} {...own} onClick={follow}>
      {children}
    </a>
  );
}

/** Over plain http a browser has no clipboard for a page: then the text is selected, and copied in the old way where it can be. */
export function Copy({ text }: { text: string }) {
  const place = useRef<HTMLElement>(null);
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied.");
    } catch {
      if (place.current) getSelection()?.selectAllChildren(place.current);
      say(document.execCommand("copy") ? "Copied." : "It is selected: copy it by the keyboard.");
    }
  };
  return (
    <div class="copy">
      <code ref={place}>{text}</code>
      <button type="button" onClick={() => void copy()}>
        Copy
      </button>
      <span role="status" class="quiet">
        {said}
      </span>
    </div>
  );
}
