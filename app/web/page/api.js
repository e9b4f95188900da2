// The one way to the service: what goes wrong is a `Problem`, what is worth waiting for is waited for.
import { signal } from "./html.js";
import { authorized, key, newKey } from "./key.js";
import { t } from "./words.js";

/** Whether the service can be reached; who failed meanwhile asks again then. */
export const reachable = signal(true);
/** How often the service came back. */
export const returns = signal(0);
/** How many answers wait for their model. */
export const warming = signal(0);

const PATIENCE = 40;
const WORTH_WAITING = new Set(["model-loading", "overloaded"]);

/** What a person has to know. `slug` is that of `/problems/…`, or `unreachable`. */
export class Problem extends Error {
  /** @param {string} slug @param {Record<string, any>} body @param {number} retryAfter */
  constructor(slug, body, retryAfter = 0) {
    super(body.detail ?? slug);
    this.slug = slug;
    this.body = body;
    this.retryAfter = retryAfter;
  }
}

/** @param {string} path @param {Record<string, unknown>} [query] */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @param {string} path
 * @param {{method?: string, query?: Record<string, unknown>, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal, form?: string}} [request]
 * @returns {Promise<Response>}
 */
export async function ask(path, { query, headers = {}, form = "application/json", ...rest } = {}) {
  let waits = 0;
  try {
    for (let attempt = 0; ; attempt += 1) {
      const used = key.value;
      const answer = await sent(address(path, query), { ...rest, headers: authorized({ Accept: form, ...headers }) });
      if (answer.ok || answer.status === 304) return answer;
      const problem = await problemOf(answer);
      const loads = +(problem.slug === "model-loading");
      warming.value += loads - waits;
      waits = loads;
      if (problem.slug === "unauthorized" && (await newKey(used))) continue;
      if (!WORTH_WAITING.has(problem.slug) || attempt >= PATIENCE || rest.signal?.aborted) throw problem;
      await pause((problem.retryAfter || 1) * 1000, rest.signal);
    }
  } finally {
    warming.value -= waits;
  }
}

/** What lies at a path of the service, or of the page. @param {string} path */
export const fetched = (path) => fetch(path, { headers: path.startsWith("/v1/") ? authorized({}) : {} });

/** @param {string} path @param {Parameters<typeof ask>[1]} [request] @returns {Promise<any>} */
export async function askJson(path, request) {
  const answer = await ask(path, request);
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} url @param {RequestInit} request */
async function sent(url, request) {
  try {
    const answer = await fetch(url, request);
    if (!reachable.value) cameBack();
    return answer;
  } catch (error) {
    if (request.signal?.aborted) throw error;
    wentAway();
    throw new Problem("unreachable", {});
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  const retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  try {
    const body = await answer.json();
    return new Problem(String(body.type).split("/").pop() ?? "internal", body, retryAfter);
  } catch {
    return new Problem("internal", { detail: `HTTP ${answer.status}` }, retryAfter);
  }
}

function cameBack() {
  reachable.value = true;
  returns.value += 1;
}

/** The service did not answer: ask until it does. */
export function wentAway() {
  if (!reachable.value) return;
  reachable.value = false;
  const look = async () => {
    try {
      await fetch("/healthz", { cache: "no-store" });
      if (!reachable.value) cameBack();
    } catch {
      setTimeout(look, 1000);
    }
  };
  setTimeout(look, 1000);
}

/** @param {number} milliseconds @param {AbortSignal | null} [stop] @returns {Promise<void>} */
export function pause(milliseconds, stop) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    stop?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });
}

/** What to tell a person: a title and a sentence. @param {unknown} error */
export function told(error) {
  if (!(error instanceof Problem)) return { title: t("problem.internal"), text: String(error), id: "" };
  const known = ["unreachable", "unsupported-image", "invalid-image", "image-too-large", "body-too-large", "queue-full",
    "gone", "unknown-job", "unknown-model", "worker-down", "storage-full", "not-enough-images", "model-exists", "target-is-source",
    "invalid-archive", "no-examples", "unknown-label", "model-unavailable", "overloaded", "deadline-exceeded", "worker-died", "unauthorized", "forbidden", "rate-limited"];
  const slug = known.includes(error.slug) ? error.slug : "internal";
  const limits = { seconds: error.retryAfter || 10, detail: error.message };
  const text = slug === "internal" ? error.message : t(`advice.${slug}`, limits);
  return { title: t(`problem.${slug}`), text, id: slug === "internal" ? (error.body.request_id ?? "") : "" };
}
