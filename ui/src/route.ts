// Which page, and which job: what stands behind the # of an address.
import type { PastJob } from "./types";

/** A job: the one that the cluster has now or the latest of its name, or with `stamp` that of the lake which started then. */
export interface Which {
  namespace: string;
  name: string;
  stamp: string;
}

/** The parts of an address. One that nobody can read is that of the list. */
export function routeOf(hash: string): string[] {
  try {
    return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return ["jobs"];
  }
}

/** A job as two parts of an address name it: `NAMESPACE/NAME`, or `NAMESPACE/NAME@STAMP`. No name of Kubernetes' has an @. */
export function which(namespace: string, part: string): Which {
  const [name = "", stamp = ""] = part.split("@");
  return { namespace, name, stamp };
}

/** The two parts: a stream has the same name each time, so an earlier one is told by its start too. */
export const idOf = (job: { namespace: string; name: string; stamp?: string }): string => `${job.namespace}/${job.name}${job.stamp ? `@${job.stamp}` : ""}`;

export const address = (job: { namespace: string; name: string; stamp?: string }): string => `#/jobs/${idOf(job)}`;

type Begun = Pick<PastJob, "namespace" | "name" | "started" | "ended">;
// Not idOf: only what the lake keeps has a stamp, and the same job in the cluster must be told alike.
const told = (job: Begun): string => `${job.namespace}/${job.name}@${Math.floor(job.started ?? job.ended ?? 0)}`;

/** Of the jobs that the lake keeps those which the cluster has no more: not the same one, by its start. */
export function earlier<T extends Begun>(kept: T[], here: Begun[]): T[] {
  const there = new Set(here.map(told));
  return kept.filter((job) => !there.has(told(job)));
}
