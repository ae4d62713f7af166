// A connection that is refused, that dies without a word, and a page that nobody sees.
import { h } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { attention } from "./away";
import { drawn, Page } from "./dom";
import type { Live } from "./live";

Object.assign(globalThis, { location: { href: "http://airflow/homelake/" } });
const { hear, useLive } = await import("./live");

class Source extends EventTarget {
  static CLOSED = 2;
  static all: Source[] = [];
  readyState = 1;
  onerror = () => {};
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  close(): void {
    this.readyState = Source.CLOSED;
  }
  tell(interval = 2): void {
    this.dispatchEvent(new MessageEvent("snapshot", { data: JSON.stringify({ interval }) }));
  }
  static get open(): Source[] {
    return Source.all.filter((s) => s.readyState !== Source.CLOSED);
  }
}

const pass = async (seconds: number) => void (await vi.advanceTimersByTimeAsync(seconds * 1000));
let page: Page;
let status = 200;

beforeEach(() => {
  vi.useFakeTimers();
  [Source.all, status, page] = [[], 200, new Page()];
  vi.stubGlobal("document", page);
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", async () => new Response(status === 200 ? "{}" : '{"error": "no"}', { status }));
});
afterEach(() => void vi.useRealTimers());

function heard() {
  const state: Partial<Live> = {};
  return { state, stop: hear((part) => Object.assign(state, part)) };
}

test("a connection that dies without a word is begun anew, later each time", async () => {
  const { state } = heard();
  Source.all[0]?.tell();
  expect(state.hearing).toBe("live");
  await pass(13);
  expect([state.hearing, Source.all.length]).toEqual(["live", 1]);
  await pass(2);
  expect([state.hearing, Source.open.length]).toEqual(["reconnecting", 0]);
  await pass(2);
  expect(Source.open.length).toBe(1);
  await pass(600); // each is silent
  expect(Source.open.length).toBeLessThanOrEqual(1);
  const tries = Source.all.length;
  expect(tries).toBeGreaterThan(5);
  expect(tries).toBeLessThan(25);
  while (!Source.open.length) await pass(1);
  Source.open[0]?.tell();
  expect(state.hearing).toBe("live");
});

test("one that goes on is left alone", async () => {
  const { stop } = heard();
  for (let i = 0; i < 100; i += 1) {
    Source.all[0]?.tell(20);
    await pass(20);
  }
  expect(Source.all.length).toBe(1);
  stop();
  await pass(100);
  expect([Source.open.length, Source.all.length, vi.getTimerCount()]).toEqual([0, 1, 0]);
});

test("why it was refused is said, and it is tried again", async () => {
  const { state } = heard();
  status = 401;
  Source.all[0]?.close();
  Source.all[0]?.onerror();
  await pass(1);
  expect([state.hearing, Source.all.length]).toEqual(["logged out", 1]);
  await pass(1);
  expect(Source.all.length).toBe(2);
  Source.all[1]?.close();
  Source.all[1]?.onerror();
  expect(state.hearing).toBe("logged out");
});

test("a page is away when it has been hidden for a while, and back at once", async () => {
  const told: boolean[] = [];
  const stop = attention((away) => told.push(away));
  page.hide(true);
  await pass(19);
  page.hide(false);
  await pass(60);
  expect(told).not.toContain(true);
  page.hide(true);
  await pass(20);
  expect(told.at(-1)).toBe(true);
  page.hide(false);
  expect(told.at(-1)).toBe(false);
  stop();
  page.hide(true);
  await pass(60);
  expect(told.at(-1)).toBe(false);
});

test("a page that nobody sees listens to nothing, and listens again as soon as it is seen", async () => {
  const { root } = drawn(h(() => h("p", null, useLive().hearing), null));
  await act(() => Source.all[0]?.tell(60));
  expect([root.textContent, Source.open.length]).toEqual(["live", 1]);
  page.hide(true);
  await act(() => pass(20));
  expect([root.textContent, Source.open.length]).toEqual(["reconnecting", 0]);
  await act(() => pass(3600));
  expect(Source.all.length).toBe(1);
  await act(() => page.hide(false));
  expect(Source.open.length).toBe(1);
  await act(() => Source.open[0]?.tell());
  expect(root.textContent).toBe("live");
});
