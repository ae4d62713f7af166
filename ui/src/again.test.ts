import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { asking, backoff } from "./again";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

function watched(answer: () => Promise<string>, every = 0) {
  const seen: string[] = [];
  const ask = vi.fn(answer);
  return { ask, seen, ...asking(ask, (found) => seen.push(found), (error) => seen.push(`not: ${error.message}`), every) };
}

test("the pause after a failure grows up to half a minute", () => {
  expect([0, 1, 2, 9].map(backoff)).toEqual([2000, 4000, 8000, 30_000]);
});

test("what failed is asked for again until it is answered, and then no more", async () => {
  let times = 0;
  const { seen } = watched(async () => {
    if (++times < 3) throw new Error("away");
    return "here";
  });
  await pass(1);
  expect(seen).toEqual(["not: away"]);
  await pass(5.5);
  expect(seen).toEqual(["not: away", "not: away", "here"]);
  await pass(3600);
  expect(times).toBe(3);
});

test("an answer is asked for again every so often", async () => {
  const { ask, stop } = watched(async () => "x", 60_000);
  await pass(179);
  expect(ask).toHaveBeenCalledTimes(3);
  stop();
  await pass(600);
  expect(ask).toHaveBeenCalledTimes(3);
});

test("what happens is asked about at once and shortly after, and much that happens not more than every five seconds", async () => {
  const { ask, soon } = watched(async () => "x", 60_000);
  await pass(30);
  soon();
  await pass(0);
  expect(ask).toHaveBeenCalledTimes(2);
  await pass(29);
  expect(ask).toHaveBeenCalledTimes(4);
  for (let i = 0; i < 50; i += 1) {
    soon();
    await pass(1);
  }
  expect(ask.mock.calls.length - 4).toBeLessThanOrEqual(11);
  expect(ask.mock.calls.length - 4).toBeGreaterThanOrEqual(9);
});

test("what happens while an answer is on its way is asked about after it", async () => {
  let answered = (_: string) => {};
  const { ask, soon } = watched(() => new Promise((resolve) => (answered = resolve)), 60_000);
  soon();
  await pass(20);
  expect(ask).toHaveBeenCalledTimes(1);
  answered("before it");
  await pass(5);
  expect(ask).toHaveBeenCalledTimes(2);
});

test("an answer that comes after the end is not heard", async () => {
  let answered = (_: string) => {};
  const { seen, stop } = watched(() => new Promise((resolve) => (answered = resolve)));
  stop();
  answered("late");
  await pass(100);
  expect(seen).toEqual([]);
});
