// Colours, by computation: what WCAG 2.2 asks of text (4.5:1) and of lines (3:1), in both themes.
import { expect, test } from "vitest";
import css from "./style.css?raw";

const LEAST = 4.5;
const themes = [...css.matchAll(/:root(?:\[data-theme="dark"\])? \{(.*?)\}/gs)].map(([, body = ""]) => Object.fromEntries([...body.matchAll(/--([\w-]+): (#\w{6})/g)].map(([, name, colour]) => [name, colour])) as Record<string, string>);

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(theme: Record<string, string>, a: string, b: string): number {
  const [dark = 0, light = 0] = [a, b].map((name) => luminance(theme[name] ?? "")).sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

test("black on white is as WCAG has it", () => {
  expect(contrast({ a: "#000000", b: "#ffffff" }, "a", "b")).toBeCloseTo(21);
});

test.each([["light", 0], ["dark", 1]] as const)("text can be read in the %s theme", (_, which) => {
  const theme = themes[which] ?? {};
  const pairs = ["ground", "surface"].flatMap((ground) => ["ink", "quiet", "accent", "ok", "warn", "bad", "wait"].map((text) => [text, ground]));
  for (const soft of ["warn-soft", "bad-soft", "wait-soft"]) pairs.push(["ink", soft], ["accent", soft]); // notices, and links in them
  pairs.push(["surface", "accent"]); // the main button
  expect(pairs.filter(([text = "", ground = ""]) => !(contrast(theme, text, ground) >= LEAST)).map((p) => p.join(" on "))).toEqual([]);
  const lines = Object.keys(theme).filter((name) => name.startsWith("chart-"));
  expect(lines.length).toBe(5);
  expect(lines.filter((name) => !(contrast(theme, name, "surface") >= 3))).toEqual([]);
});

test("nothing that has text in it is dimmed", () => {
  const dimmed = css.split("\n").filter((rule) => /opacity|filter:/.test(rule));
  expect(dimmed.map((rule) => rule.trim().split(" {")[0])).toEqual([".stale .bar i", "@keyframes beat", ".bar b"]);
});
