// What a screen reader says, and what the keyboard does, by the nodes that the components make: no browser is needed.
import type { ComponentChildren, VNode } from "preact";
import { expect, test } from "vitest";
import { Notice, Skip, Status } from "./parts";

// lake.tsx asks at once where the page is.
Object.assign(globalThis, { location: { href: "http://airflow/homelake/" } });
const { LakeView } = await import("./lake");

type Node = VNode<Record<string, unknown> & { children?: ComponentChildren }>;
const drawn: unknown[] = [Notice, Status]; // those without a state of their own

/** The texts of a tree, and of those the ones that are spoken whenever they change. */
function texts(node: ComponentChildren, live = false, found = { all: [] as string[], spoken: [] as string[] }) {
  if (Array.isArray(node)) node.forEach((n) => texts(n, live, found));
  else if (typeof node === "string" || typeof node === "number") (live ? [found.all, found.spoken] : [found.all]).forEach((list) => list.push(String(node)));
  else if (node && typeof node === "object") {
    const { type, props } = node as Node;
    const inside = drawn.includes(type) ? (type as (p: object) => ComponentChildren)(props) : props.children;
    texts(inside, live || "aria-live" in props || props.role === "status" || props.role === "alert", found);
  }
  return found;
}

test("time that goes by is not spoken", () => {
  const lake = { name: "homelake", checked: 100, run: null, resources: [], levels: [], buckets: [], keys: [], problems: ["Unable to reach MinIO."], console: "" };
  const [first, later] = [110, 170].map((now) => texts(LakeView({ lake, now })));
  expect(first?.all.join("")).not.toBe(later?.all.join(""));
  expect(later?.spoken).toEqual(first?.spoken);
  expect(first?.spoken.join("")).toContain("All 0 parts as declared");
  expect(first?.spoken.join("")).toContain("Unable to reach MinIO.");
});

test("a notice is spoken without what stands beside it", () => {
  const found = texts(Notice({ tone: "wait", beside: "20 s", children: "The newest figures are old." }));
  expect(found.spoken).toEqual(["The newest figures are old."]);
  expect(found.all).toContain("20 s");
});

test("the way to the content leads to no other page", () => {
  const done: string[] = [];
  const link = Skip({ to: { current: { focus: () => done.push("focused") } as unknown as HTMLElement } }) as Node;
  (link.props.onClick as (event: object) => void)({ preventDefault: () => done.push("stayed") });
  expect(done).toEqual(["stayed", "focused"]);
});
