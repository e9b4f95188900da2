// `#/job/…`, which the service writes into every job: leads to the view that shows it.
import { html } from "../html.js";
import { askJson } from "../api.js";
import { Trouble, Waiting, useAnswer } from "../asking.js";
import { viewOf } from "../jobs.js";
import { link, route } from "../route.js";
import { t } from "../words.js";

export function JobLink() {
  const id = route.value.argument;
  const { problem } = useAnswer(async (stop) => {
    const job = await askJson(`/v1/jobs/${encodeURIComponent(id)}`, { signal: stop });
    location.replace(link(viewOf(job), job.id));
  }, [id]);
  return html`<div class="narrow stack"><h1>${t("shell.jobs")}</h1>${problem ? html`<${Trouble} problem=${problem} />` : html`<${Waiting} />`}</div>`;
}
