import { expect, test } from "vitest";
import { address, earlier, idOf, routeOf, which } from "./route";
import type { PastJob } from "./types";

type Begun = Pick<PastJob, "namespace" | "name" | "started" | "ended">;

test("an address has its parts, and one that nobody can read is that of the list", () => {
  expect([routeOf(""), routeOf("#/jobs/n/a%20b"), routeOf("#/%"), routeOf("#/jobs/%E0%A4%A/x")]).toEqual([[], ["jobs", "n", "a b"], ["jobs"], ["jobs"]]);
});

test("a job of the lake is named by its start too", () => {
  const kept = { namespace: "n", name: "payments-stream", stamp: "20261126T221300Z" };
  expect([idOf(kept), address({ namespace: "n", name: "a" })]).toEqual(["n/payments-stream@20261126T221300Z", "#/jobs/n/a"]);
  const [, namespace = "", part = ""] = routeOf(address(kept));
  expect(which(namespace, part)).toEqual(kept);
  expect(which("n", "a")).toEqual({ namespace: "n", name: "a", stamp: "" });
});

test("earlier jobs of a name are there beside the one that runs, and only itself is not told twice", () => {
  const kept = [300, 200, 100].map((started) => ({ namespace: "n", name: "s", stamp: `19700101T000${started}Z`, started, ended: started + 50 }));
  const at = (list: Begun[]) => list.map((job) => job.started);
  expect(at(earlier(kept, []))).toEqual([300, 200, 100]);
  expect(at(earlier(kept, [{ namespace: "n", name: "s", started: 400, ended: null }]))).toEqual([300, 200, 100]);
  expect(at(earlier(kept, [{ namespace: "n", name: "s", started: 200, ended: 250 }]))).toEqual([300, 100]);
  expect(at(earlier(kept, [{ namespace: "other", name: "s", started: 200, ended: 250 }]))).toEqual([300, 200, 100]);
  expect(earlier([{ namespace: "n", name: "s", stamp: "19700101T000110Z", started: null, ended: 70.4 } as Begun], [{ namespace: "n", name: "s", started: null, ended: 70.9 }])).toEqual([]);
});
