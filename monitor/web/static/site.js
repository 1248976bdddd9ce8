// One site: the verdict in plain words, what to do, the five marks, and the last figures to each bridge, both directions.
import { html } from "./vendor/preact.js";
import { start } from "./page.js";
import { Figure, Shape, Verdict } from "./shape.js";
import { cure, figureOver, segmentOf } from "./told.js";

const MARKS = ["line", "picture", "sound", "light", "power"];
const SEGMENTS = ["room", "line", "bridge"];
// A row of the line's table: its words, and the metric of each direction. `round` stands for both.
const ROWS = [
  { words: "site.loss", up: "link.loss_up_ratio", down: "link.loss_down_ratio", round: "link.loss_round_ratio" },
  { words: "site.delay_variation", up: "link.dv_up_p99_ms", down: "link.dv_down_p99_ms" },
  { words: "site.reordered", up: "link.reordered_up_ratio", down: "link.reordered_down_ratio" },
  { words: "site.rtt", round: "link.rtt_p50_ms" },
];
const BESIDE = ["lan", "reach", "hub", "host"];

const asked = decodeURIComponent(location.pathname.split("/").pop());

start(Site, { watch: () => [asked], only: asked });

function Site({ w, live, now, declared, buttons, warnings }) {
  const site = live.sites.get(asked);
  const known = live.sites.size > 0;
  document.title = site ? `${w.name(site)} – ${w.t("app.title")}` : w.t("app.title");
  return html`
    <header class="bar">
      <a class="title" href="/">${w.t("app.title")}</a>
      <time class="clock fig">${w.clockSeconds.format(now)}</time>
      <div class="end"><a class="link" href="/">${w.t("site.back")}</a>${buttons}</div>
    </header>
    ${warnings}
    ${!site && html`<p class="empty">${known ? w.t("site.unknown_id", { id: asked }) : w.t(live.failed ? "app.failed" : "app.loading")}</p>`}
    ${site && html`<main class="site">
      <${Answer} w=${w} now=${now} declared=${declared} live=${live} site=${site} />
      <${Marks} w=${w} now=${now} declared=${declared} site=${site} />
      <${Figures} w=${w} now=${now} declared=${declared} live=${live} site=${site} />
    </main>`}`;
}

function Answer({ w, now, declared, live, site }) {
  const { verdict, since } = site.shown;
  const bridge = live.sites.get(site.bridge);
  const place = [
    site.area_vi && w.t("site.area", { name: site.area_vi }),
    bridge && bridge.id !== site.id && w.t("site.under", { name: w.name(bridge) }),
    site.code && w.t("site.code", { code: site.code }),
  ].filter(Boolean);
  const doing = cure(w, declared, site);
  const note = w.note(site);
  return html`<section class="answer">
    <h1>${w.name(site)}</h1>
    <p class="place">${place.join(" · ")}</p>
    <p class="held"><${Verdict} w=${w} verdict=${verdict} />
      ${since > 0 && verdict !== "not_fitted" && html` <span class="since">${w.since(since, now)}</span>`}</p>
    <p class="said">${said(w, declared, site)}</p>
    ${site.evidence.map(({ hub, since: from }) => html`<p class="said" key=${hub}>${w.t("site.silent", { name: live.sites.has(hub) ? w.name(live.sites.get(hub)) : hub, since: w.since(from, now) })}</p>`)}
    ${["fair", "poor"].includes(verdict) && html`<${Way} w=${w} declared=${declared} site=${site} />`}
    ${doing && html`<div><p class="do">${w.t("site.do")}</p><ol><li>${doing}</li></ol></div>`}
    ${note && html`<p class="notice">${note}</p>`}
  </section>`;
}

function said(w, declared, site) {
  const { verdict } = site.shown;
  if (verdict === "good") return w.t("site.good");
  if (verdict === "not_fitted") return w.t("site.not_fitted");
  return figureOver(w, declared, site);
}

/** Room, line, main bridge: the stretch at fault is framed and named. */
function Way({ w, declared, site }) {
  const at = segmentOf(site);
  if (!SEGMENTS.includes(at)) return null;
  return html`<ol class="way" aria-label=${w.t("segment.at", { segment: w.t(`segment.${at}`).toLowerCase() })}>
    ${SEGMENTS.map((segment, place) => html`${place > 0 && html`<li class="hop" aria-hidden="true"></li>`}
      <li class=${`stop ${segment === at ? `at ${site.shown.verdict}` : ""}`}>${segment === at && html`<${Shape} verdict=${site.shown.verdict} />`}${w.t(`segment.${segment}`)}</li>`)}
  </ol>`;
}

function Marks({ w, now, declared, site }) {
  return html`<section class="marks" aria-label=${w.t("site.marks")}>
    ${MARKS.map((mark) => {
      const shown = site.marks[mark] ?? { verdict: "not_fitted" };
      const fitted = shown.verdict !== "not_fitted";
      return html`<div class=${`mark ${shown.verdict}`} key=${mark}>
        <h3>${w.t(`mark.${mark}`)}</h3>
        <${Verdict} w=${w} verdict=${shown.verdict} />
        ${fitted && shown.verdict !== "good" && html`<p>${figureOver(w, declared, { ...site, shown })}</p>`}
        ${fitted && shown.since > 0 && html`<p>${w.t("time.since", { time: w.moment(shown.since, now) })}</p>`}
      </div>`;
    })}
  </section>`;
}

function Figures({ w, now, declared, live, site }) {
  const streams = live.streamsOf(site.id);
  const own = (stream) => (stream.target === site.bridge ? 0 : 1);
  const links = streams.filter((stream) => stream.probe === "link").sort((a, b) => own(a) - own(b) || a.line.localeCompare(b.line));
  const beside = BESIDE.flatMap((probe) => streams.filter((stream) => stream.probe === probe && (probe !== "hub" || site.type === "bridge")));
  const page = { w, now, declared, live };
  return html`
    ${streams.length === 0 && site.shown.verdict !== "not_fitted" && html`<p class="muted">${w.t("site.none")}</p>`}
    <section class="panels">${links.map((stream) => html`<${Link} key=${keyOf(stream)} ...${page} stream=${stream} />`)}</section>
    ${beside.length > 0 && html`<section class="panels">${beside.map((stream) => html`<${All} key=${keyOf(stream)} ...${page} stream=${stream} />`)}</section>`}
    ${links.length > 0 && html`<details><summary>${w.t("site.details")}</summary>
      <div class="panels">${links.map((stream) => html`<${All} key=${keyOf(stream)} ...${page} stream=${stream} />`)}</div></details>`}`;
}

function keyOf({ probe, target, line, room, grade }) {
  return [probe, target, line, room, grade].join("|");
}

function When({ w, now, stream }) {
  const age = now - stream.at;
  const ago = age < 1000 ? w.t("time.now") : w.t("time.ago", { span: w.span(age) });
  return html`<span class="when">${w.t("site.measured", { time: w.clockSeconds.format(stream.at), ago })}</span>`;
}

function heading(w, live, stream) {
  const grade = stream.grade === "device" || stream.probe === "reach" ? "" : `, ${w.t(`grade.${stream.grade}`)}`;
  if (stream.probe !== "link") return w.t(`site.${stream.probe}`) + grade;
  const hub = live.sites.get(stream.target);
  const line = ["main", "backup"].includes(stream.line) ? w.t(`site.line.${stream.line}`) : stream.line;
  return `${w.t("site.to", { name: hub ? w.name(hub) : stream.target })}, ${w.t("site.line", { name: line })}${grade}`;
}

/** The last run to one bridge: one row a figure, one column a direction, the limit beside them. */
function Link({ w, now, declared, live, stream }) {
  const of = (metric) => stream.figures.get(metric);
  const rows = ROWS.filter((row) => of(row.up) || of(row.down) || of(row.round));
  return html`<article class="panel">
    <header><h2>${heading(w, live, stream)}</h2><${When} w=${w} now=${now} stream=${stream} /></header>
    <${Failed} w=${w} declared=${declared} stream=${stream} />
    ${rows.length > 0 && html`<table class="figures">
      <thead><tr><th scope="col">${w.t("site.figure")}</th><th scope="col">${w.t("site.up")}</th><th scope="col">${w.t("site.down")}</th><th scope="col" class="beside">${w.t("site.limit")}</th></tr></thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.words} w=${w} declared=${declared} words=${w.t(row.words)} up=${of(row.up)} down=${of(row.down)} round=${of(row.round)} />`)}</tbody></table>`}
    ${rows.length > 0 && html`<p class="window">${w.t("site.window")}</p>`}
  </article>`;
}

function Row({ w, declared, words, up, down, round }) {
  const ways = up || down;
  const one = up ?? down ?? round;
  const limit = w.allowed(one.limits, declared.metrics[one.metric].unit, one.verdict, true);
  return html`<tr><th scope="row">${words}${!ways && html` <span class="muted">(${w.t("site.rtt_way")})</span>`}<span class="limit under">${limit}</span></th>
    ${ways ? [up, down].map((figure) => html`<${Cell} w=${w} declared=${declared} figure=${figure} />`)
      : html`<${Cell} w=${w} declared=${declared} figure=${round} span=${2} />`}
    <td class="limit beside">${limit}</td></tr>`;
}

/** One figure; shape, colour and weight only where its held verdict is fair or poor. */
function Cell({ w, declared, figure, span = 1 }) {
  if (!figure) return html`<td colspan=${span} class="muted">${w.t("site.not_measured")}</td>`;
  const over = ["fair", "poor"].includes(figure.verdict) ? figure.verdict : "";
  const unit = declared.metrics[figure.metric]?.unit ?? "count";
  if (figure.stale) return html`<td colspan=${span} class="muted"><${Figure} w=${w} value=${figure.value} unit=${unit} /> <span class="old">${w.t("site.at", { time: w.clockSeconds.format(figure.at) })}</span></td>`;
  return html`<td colspan=${span} class=${over}>${over && html`<${Shape} verdict=${over} /><span class="hidden">${w.t(`verdict.${over}`)}: </span>`}<${Figure} w=${w} value=${figure.value} unit=${unit} /></td>`;
}

function Failed({ w, declared, stream }) {
  if (!stream.failure) return null;
  const code = declared.failures[`${stream.probe}.${stream.failure.code}`];
  return html`<p class=${`failure ${code?.meaning === "poor" ? "poor" : ""}`}>${w.t("site.failed", { label: code ? w.of(code.label) : stream.failure.code })}</p>`;
}

/**
 * Every figure of a stream by its full words: percentiles, MOS, marks of priority, and what nobody declared. What is
 * measured once a day stays with its hour; of the other probes only the last report counts.
 */
function All({ w, now, declared, live, stream }) {
  const figures = [...stream.figures.values()].filter((figure) => stream.probe === "link" || figure.at === stream.at);
  return html`<article class="panel">
    <header><h2>${heading(w, live, stream)}</h2><${When} w=${w} now=${now} stream=${stream} /></header>
    ${stream.probe !== "link" && html`<${Failed} w=${w} declared=${declared} stream=${stream} />`}
    <table class="figures"><tbody>${figures.map((figure) => html`<tr key=${figure.metric}>
      <th scope="row">${figure.known ? w.of(declared.metrics[figure.metric]?.label) : html`<code>${figure.metric}</code>`}</th>
      <${Cell} w=${w} declared=${declared} figure=${figure} /></tr>`)}</tbody></table>
    ${stream.probe === "link" && Object.entries(stream.labels).map(([name, text]) => html`<p class="window" key=${name}><code>${name}</code> ${text}</p>`)}
  </article>`;
}
