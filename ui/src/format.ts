// Numbers and times as a person reads them. What is not known is a dash, never a zero.
export const NONE = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value: number | null | undefined): string {
  if (value == null) return NONE;
  let n = Math.abs(value);
  let unit = 0;
  while (n >= 1023.5 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || n >= 100 ? 0 : 1;
  return `${value < 0 ? "−" : ""}${n.toFixed(digits)} ${UNITS[unit]}`;
}

export const byteRate = (value: number | null | undefined): string => (value == null ? NONE : `${bytes(value)}/s`);

export function cores(value: number | null | undefined): string {
  return value == null ? NONE : `${value.toFixed(2)}`;
}

export function count(value: number | null | undefined): string {
  if (value == null) return NONE;
  return Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString("en-GB");
}

export const rate = (value: number | null | undefined): string => (value == null ? NONE : `${count(value)}/s`);

export function percent(value: number | null | undefined): string {
  return value == null ? NONE : `${(value * 100).toFixed(value < 0.0995 ? 1 : 0)} %`;
}

export function span(seconds: number | null | undefined): string {
  if (seconds == null) return NONE;
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export const ago = (at: number, now: number): string => (now - at < 1.5 ? "now" : `${span(now - at)} ago`);

export function moment(at: number | null | undefined): string {
  if (at == null) return NONE;
  const date = new Date(at * 1000);
  return date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export const day = (iso: string): string => iso.slice(0, 10);
