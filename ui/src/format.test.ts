import { expect, test } from "vitest";
import { ago, byteRate, bytes, cores, count, percent, span } from "./format";

test("bytes are told in binary units, three figures at most", () => {
  expect([0, 900, 1023, 1024, 1536, 1047000, 5 * 2 ** 30, 500 * 2 ** 30, -2048].map((v) => bytes(v))).toEqual(["0 B", "900 B", "1023 B", "1.0 KiB", "1.5 KiB", "1022 KiB", "5.0 GiB", "500 GiB", "−2.0 KiB"]);
  expect([bytes(null), byteRate(undefined), cores(null), count(null), percent(null), span(null)]).toEqual(["–", "–", "–", "–", "–", "–"]);
});

test("times are told as long as they are", () => {
  expect([0.04, 9.94, 42, 200, 7260, 90000].map((v) => span(v))).toEqual(["0.0 s", "9.9 s", "42 s", "3 min 20 s", "2 h 1 min", "1 d 1 h"]);
  expect([ago(100, 100.4), ago(100, 142)]).toEqual(["now", "42 s ago"]);
});

test("shares and counts", () => {
  expect([percent(0.004), percent(0.5), percent(1)]).toEqual(["0.4 %", "50 %", "100 %"]);
  expect([count(2.345), count(12345), count(3)]).toEqual(["2.3", "12,345", "3"]);
});
