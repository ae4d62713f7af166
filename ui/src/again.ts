// Asking again: after a failure, after a while, after something has happened.
const LEAST = 5_000; // ms from one question to the next that something has given rise to
const MOST = 30_000;

/** How long to wait after so many failures. */
export const backoff = (failures: number): number => Math.min(MOST, 2_000 * 2 ** failures);

export interface Asking {
  soon: () => void; // something has happened: ask at once, and twice more, as the answer may follow it by some seconds
  stop: () => void;
}

/** Ask now, after a failure again, later each time, and after an answer again `every` so many ms; 0: one answer is enough. */
export function asking<T>(ask: () => Promise<T>, got: (answer: T) => void, failed: (error: Error) => void, every = 0): Asking {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let [begun, failures, more] = [0, 0, 0];
  let [busy, over] = [false, false];
  const after = (ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(turn, ms);
  };
  const turn = async () => {
    [begun, busy] = [Date.now(), true];
    let next = every;
    try {
      const answer = await ask();
      failures = 0;
      if (more > 0) [next, more] = [LEAST, more - 1];
      if (!over) got(answer);
    } catch (error) {
      next = backoff(failures++);
      if (!over) failed(error as Error);
    }
    busy = false;
    if (!over && next) after(next);
  };
  void turn();
  return {
    soon: () => {
      more = busy ? 3 : 2;
      if (!busy && !over) after(Math.max(0, begun + LEAST - Date.now()));
    },
    stop: () => {
      over = true;
      clearTimeout(timer);
    },
  };
}
