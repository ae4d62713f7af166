// What is seen less often than CPU and memory: garbage collection, shuffle, disk. A line that nobody has told anything of is not drawn.
import { Chart } from "./chart";
import { at, column, line, some } from "./columns";
import { byteRate, bytes, percent } from "./format";
import { change } from "./series";
import type { Columns } from "./types";

export function Courses({ columns, theme, height }: { columns: Columns | undefined; theme: string; height?: number }) {
  const common = { theme, at: at(columns), ...(height ? { height } : {}) };
  const [gc, read, written, disk] = ["gc", "shuffle_read", "shuffle_written", "disk"].map((name) => column(columns, name)) as [Column, Column, Column, Column];
  const changed = change(at(columns), disk);
  const part = (sign: 1 | -1) => changed.map((v) => (v == null ? null : Math.max(0, sign * v)));
  return (
    <>
      {some(gc) && <Chart {...common} title="Garbage collection" say={percent} lines={[line("of the time", gc, "a")]} />}
      {(some(read) || some(written)) && <Chart {...common} title="Shuffle" say={byteRate} lines={[line("read", read, "a"), line("written", written, "b")]} />}
      {some(disk) && <Chart {...common} binary title="Disk" say={bytes} lines={[line("in use", disk, "a")]} />}
      {some(changed) && <Chart {...common} title="Disk, over a minute" say={byteRate} lines={[line("filled", part(1), "a"), line("freed", part(-1), "b")]} />}
    </>
  );
}

type Column = (number | null)[];
