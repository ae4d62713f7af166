// The last lines of the log of one of a job's pods.
import { useEffect, useState } from "preact/hooks";
import { text } from "./live";
import { newest } from "./model";
import { Copy } from "./parts";
import type { Application } from "./types";

export function Log({ app }: { app: Application }) {
  const [pod, choose] = useState("");
  const [said, say] = useState({ of: "", lines: "" });
  const [asked, ask] = useState(0); // how often; 0: it is not shown
  const chosen = pod || app.pods.find((p) => p.role === "driver")?.name || "";
  useEffect(() => {
    if (!asked) return;
    let over = false; // another pod is chosen by now, or it is read again
    const show = (lines: string) => over || say({ of: chosen, lines });
    text(`api/applications/${app.namespace}/${app.name}/log?lines=200&pod=${encodeURIComponent(chosen)}`).then(show, (error: Error) => show(error.message));
    return () => {
      over = true;
    };
  }, [asked, chosen]);
  return (
    <section aria-labelledby="log">
      <h2 id="log">Log</h2>
      <div class="row start">
        <label>
          Pod{" "}
          <select value={chosen} onChange={(e) => choose(e.currentTarget.value)}>
            {newest(app.pods).map((p) => (
              <option key={p.name} value={p.name}>
                {p.role === "driver" ? "driver" : `executor ${p.executor}`}
              </option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => ask(asked + 1)}>
          {asked ? "Read again" : "Show the last 200 lines"}
        </button>
      </div>
      {asked > 0 && (
        <pre tabIndex={0} aria-label={`The last lines of the log of ${chosen}`}>
          {said.of === chosen && said.lines}
        </pre>
      )}
      <Copy text={`kubectl -n ${app.namespace} describe sparkapplication ${app.name}`} />
    </section>
  );
}
