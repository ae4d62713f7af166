// What is known of one job: its application, and the course of its figures.
import { useEffect, useRef, useState } from "preact/hooks";
import { asking } from "./again";
import { json } from "./live";
import { of } from "./model";
import type { Which } from "./route";
import { extended, joined } from "./series";
import type { Application, Series, Snapshot } from "./types";

const GAP = 30; // seconds without a snapshot, beyond its interval, after which the server's course is asked for again

interface Known {
  app: Application | null;
  here: boolean; // whether the cluster still has it
  series: Series;
  problem: string; // why there is no course, or not the whole of it; it is tried again
}

/** A job's application and its course: from the snapshots while it is there, else from the lake. */
export function useJob(snapshot: Snapshot | null, { namespace, name, stamp }: Which): Known {
  const here = stamp ? null : of(snapshot, namespace, name);
  const [series, setSeries] = useState<Series>({});
  const [kept, setKept] = useState<Application | null>(null);
  const [problem, setProblem] = useState("");
  const before = useRef<Application | null>(null);
  const gaps = useGaps(snapshot);
  const uid = here?.uid; // a stream that is started anew has its name, not its course
  useEffect(() => {
    setKept(null);
    setSeries({});
  }, [namespace, name, stamp, uid]);
  useEffect(() => {
    setProblem("");
    if (!snapshot) return;
    const found = (application: Application | null, series: Series) => {
      setKept(application);
      setSeries((old) => joined(old, series));
      setProblem("");
    };
    const failed = (error: Error) => setProblem(error.message);
    if (uid != null) return asking(() => json<Series>(`api/applications/${namespace}/${name}/series`), (series) => found(null, series), failed).stop;
    const path = `api/past/${namespace}/${name}${stamp && `?stamp=${stamp}`}`;
    return asking(() => json<{ application: Application; series: Series }>(path), (past) => found(past.application, past.series), failed).stop;
  }, [namespace, name, stamp, uid, snapshot != null, here ? gaps : 0]);
  useEffect(() => {
    const last = before.current;
    before.current = here;
    if (here) setSeries((old) => extended(old, here, last));
  }, [here]);
  return { app: here ?? kept, here: here != null, series, problem };
}

/** How often snapshots were missed for a while, as by a page that nobody looked at. */
function useGaps(snapshot: Snapshot | null): number {
  const seen = useRef({ at: 0, gaps: 0 }).current;
  if (snapshot) {
    if (seen.at && snapshot.at - seen.at > snapshot.interval + GAP) seen.gaps += 1;
    seen.at = snapshot.at;
  }
  return seen.gaps;
}
