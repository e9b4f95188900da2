// Lesson: what a newcomer opens on. Five short chapters, each with one thing to try and one question.
import { html, useEffect, useState } from "../html.js";
import { useClassification } from "../classification.js";
import { Icon } from "../icons.js";
import { Mark } from "../mark.js";
import { own } from "../own.js";
import { Copy } from "../parts.js";
import { SAMPLES, picture, use } from "../picture.js";
import { go, link, route } from "../route.js";
import { remember, remembered } from "../store.js";
import { percent, rich, t } from "../words.js";
import { Dream, Heads, Layers, Pets, Trick } from "./lesson_widgets.js";

const CHAPTERS = [
  { view: "classify", image: "cat", Widget: Heads, answers: 3, right: 1 },
  { view: "inside", image: "s1-5", Widget: Layers, answers: 3, right: 1 },
  { view: "ideal", image: "ideal-persian", Widget: Dream, answers: 3, right: 1 },
  { view: "fool", image: "bernese", Widget: Trick, answers: 2, right: 1 },
  { view: "teach", image: "cat-eye", Widget: Pets, answers: 3, right: 1 },
];

/** @param {{n: number, answers: number, right: number, onAnswer: () => void}} props */
function Question({ n, answers, right, onAnswer }) {
  const [chosen, set] = useState(remembered(`answer-${n}`));
  const choose = (at) => {
    remember(`answer-${n}`, String(at));
    set(String(at));
    onAnswer();
  };
  return html`<fieldset class="ask ${chosen === null ? "" : "answered"}"><legend>${t(`l${n}.ask`)}</legend>${Array.from({ length: answers }, (_, at) => html`<label key=${at} class=${at === right ? "yes" : ""}><input type="radio" name="ask-${n}" checked=${chosen === String(at)} onChange=${() => choose(at)} /><span>${t(`l${n}.answer.${at}`)}</span></label>`)}
    <div class="reveal" role="status">${chosen !== null && html`<p><b>${t(chosen === String(right) ? "lesson.right" : "lesson.wrong")}</b> ${t(`l${n}.because`)}</p>`}</div></fieldset>`;
}

/** @param {{n: number, chapter: any, onAnswer: () => void}} props */
function Chapter({ n, chapter, onAnswer }) {
  const { view, Widget, answers, right } = chapter;
  return html`<article class="step spread" id="lesson-${n}" tabindex="-1"><div class="a prose stack"><h2><span class="num">${n} / ${CHAPTERS.length}</span>${t(`l${n}.title`)}</h2><p>${rich(`l${n}.one`)}</p><p>${rich(`l${n}.two`)}</p></div>
    <div class="w widget"><${Widget} /></div><div class="q"><${Question} n=${n} answers=${answers} right=${right} onAnswer=${onAnswer} /><p class="onward"><a class="btn" href=${link(view, "", view === "fool" ? {} : { p: picture.value?.id ?? "" })}>${t(`l${n}.onward`)} →</a></p></div></article>`;
}

const BLOT = { id: "blot", name: "blot.png", blob: /** @type {any} */ (null), url: "", width: 0, height: 0 };

/** The blot itself is the first picture: what do networks take it for? */
function Seen() {
  const [blot, set] = useState(/** @type {any} */ (null));
  useEffect(() => {
    const sample = SAMPLES.find((one) => one.id === "blot");
    fetch(`/samples/${sample?.file}`).then((answer) => answer.blob()).then((blob) => set({ ...BLOT, blob }), () => {});
  }, []);
  const many = useClassification("imagenet", blot, 1).value?.predictions[0];
  const few = useClassification("cats-vs-dogs", blot, 2).value;
  const neither = few?.unknown?.is_unknown;
  return html`<p>${t("hero.guess")} <span class=${many && few ? "" : "unsaid"}>${rich("hero.many", { name: html`<em class="voice">${many?.display ?? "flatworm"}</em>`, score: percent(many?.score ?? 0.16) })} ${rich(neither || !few ? "hero.neither" : "hero.few", { name: html`<em class="voice">${few?.predictions[0].display}</em>` })}</span></p>`;
}

/** @param {{done: Set<number>}} props */
function Hero({ done }) {
  const load = async (event) => {
    const [file] = event.target.files;
    if (file) {
      await use(file, file.name);
      go("lesson", "1", { p: picture.value?.id ?? "" });
    }
  };
  return html`<section class="hero grid"><div class="c7 stack-l"><h1>${t("hero.title")}</h1><div class="stack lede"><${Seen} /><p>${t("hero.text")}</p></div>
    <div class="row"><a class="btn main" href=${link("lesson", "1")}>${t("hero.begin")}</a><label class="btn file"><${Icon} name="up" />${t("hero.own")}<input type="file" class="vh" accept="image/*" onChange=${load} /></label><span class="small quiet">${t("hero.time")}</span></div></div>
    <div class="c5 art"><${Mark} halo /></div><ol class="c12 toc">${CHAPTERS.map((one, at) => html`<li key=${one.view}><a href=${link("lesson", String(at + 1))}><img src=${own(`pictures/${one.image}.webp`)} alt="" /><span><i>${at + 1}</i>${t(`l${at + 1}.title`)}${done.has(at + 1) && html`<span class="vh"> ${t("lesson.answered")}</span><b aria-hidden="true"> ✓</b>`}</span></a></li>`)}</ol></section>`;
}

const answered = () => new Set(CHAPTERS.map((_, at) => at + 1).filter((n) => remembered(`answer-${n}`) !== null));

export function Lesson() {
  const [done, setDone] = useState(answered);
  const at = Number(route.value.argument) || 0;
  const [begun, begin] = useState(at > 0);
  useEffect(() => begin(true), []); // what lies further down is laid out when the beginning is painted
  useEffect(() => {
    const place = document.getElementById(`lesson-${at}`);
    place?.scrollIntoView();
    place?.focus({ preventScroll: true });
  }, [at, begun]);
  useEffect(() => {
    const turn = (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1, PageDown: 1, PageUp: -1 }[event.key];
      if (!move || event.target.closest("input, select, button, [role=tablist]") || event.altKey || event.metaKey) return;
      event.preventDefault();
      go("lesson", String(Math.min(CHAPTERS.length, Math.max(1, at + move))), route.value.choices);
    };
    addEventListener("keydown", turn);
    return () => removeEventListener("keydown", turn);
  }, [at]);
  return html`<${Hero} done=${done} />${begun && CHAPTERS.map((chapter, place) => html`<${Chapter} key=${chapter.view} n=${place + 1} chapter=${chapter} onAnswer=${() => setDone(answered())} />`)}
    ${begun && html`<section class="step grid"><div class="c5"><h2>${t("take.title")}</h2></div><div class="c7"><ol class="take">${CHAPTERS.map((one, place) => html`<li key=${one.view}><span>${t(`take.${place + 1}`)}</span><a class="btn bare" href=${link(one.view)}>${t(`tab.${one.view}`)}</a></li>`)}</ol>
    <p class="row onward"><button type="button" class="btn" onClick=${() => print()}><${Icon} name="file" />${t("take.print")}</button><${Copy} icon="link" text=${() => `${location.origin}/#/lesson`}>${t("take.link")}<//></p></div></section>`}`;
}
