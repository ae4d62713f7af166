// Columns of a course, as lines take them.
import type { Line } from "./chart";
import type { Columns } from "./types";

export const at = (c: Columns | undefined): number[] => (c?.at ?? []) as number[];
export const column = (c: Columns | undefined, name: string): (number | null)[] => c?.[name] ?? [];
export const level = (c: Columns | undefined, value: number | null): (number | null)[] => at(c).map(() => value);
export const some = (values: (number | null)[]): boolean => values.some((v) => v != null);
export const line = (label: string, values: (number | null)[], colour: Line["colour"]): Line => ({ label, values, colour });
