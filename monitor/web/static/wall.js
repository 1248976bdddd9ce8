// The wall: two bridges and the link between them, what needs doing in words, every site by bridge and area.
import { html, useState } from "./vendor/preact.js";
import { start } from "./page.js";
import { Figure, Shape, Verdict } from "./shape.js";
import { plain } from "./words.js";
import { cure, figureOver, segment } from "./told.js";

const COUNTED = ["good", "fair", "poor", "unknown"];
const TROUBLED = { poor: 0, fair: 1 };
const NARROW = matchMedia("(max-width: 700px)");
const FULL_CARDS = 2; // below them only what is the matter, not what to do: all must fit one wall

const BRIDGE = "bridge";

start(Wall, { watch: (sites) => [...sites.values()].filter((site) => site.type === BRIDGE).map((site) => site.id) });

function Wall({ w, live, now, declared, buttons, warnings }) {
  const [asked, ask] = useState("");
  const all = [...live.sites.values()];
  const bridges = all.filter((site) => site.type === BRIDGE);
  const sites = all.filter((site) => site.type !== BRIDGE);
  const found = asked ? sites.filter((site) => plain(w.name(site)).includes(plain(asked))) : sites;
  const page = { w, now, declared, live };
  document.title = title(w, sites);
  return html`
    <header class="bar">
      <h1>${w.t("app.title")}</h1>
      <time class="clock fig">${w.clockSeconds.format(now)}</time>
      <${Counts} w=${w} sites=${sites} />
      <div class="end">
        <label class="search"><span class="hidden">${w.t("wall.search")}</span>
          <input type="search" placeholder=${w.t("wall.search")} value=${asked} onInput=${(event) => ask(event.target.value)} /></label>
        ${buttons}
      </div>
    </header>
    ${warnings}
    ${all.length === 0 && html`<p class="empty">${w.t(live.failed ? "app.failed" : "app.loading")}</p>`}
    ${all.length > 0 && html`<main class="wall">
      <${Attention} ...${page} sites=${all} />
      <${Bridges} ...${page} bridges=${bridges} sites=${sites} />
      ${bridges.map((bridge) => html`<${Column} key=${bridge.id} ...${page} bridge=${bridge} open=${asked !== ""} sites=${found.filter((site) => site.bridge === bridge.id)} />`)}
      ${found.length === 0 && html`<p class="empty">${w.t("wall.search_none")}</p>`}
    </main>`}`;
}

function title(w, sites) {
  const troubled = sites.filter((site) => site.shown.verdict in TROUBLED).length;
  return troubled ? `(${troubled}) ${w.t("app.title")}` : w.t("app.title");
}

function count(sites, verdict) {
  return sites.filter((site) => site.shown.verdict === verdict).length;
}

/** Good, fair, poor and unknown add up to the sites with a device; the others stand apart. */
function Counts({ w, sites }) {
  const bare = count(sites, "not_fitted");
  return html`<ul class="counts" aria-label=${w.t("wall.counts")}>
    ${COUNTED.map((verdict) => {
      const n = count(sites, verdict);
      return html`<li class=${`count ${verdict} ${n ? "" : "none"}`}><${Shape} verdict=${verdict} /><span class="fig">${n}</span> ${w.t(`verdict.${verdict}`)}</li>`;
    })}
    <li class="rest"><span>${w.t("wall.fitted", { n: sites.length - bare })}</span><span>${w.t("wall.not_fitted", { n: bare })}</span></li>
  </ul>`;
}

function Bridges({ w, now, declared, live, bridges, sites }) {
  const [one, two] = bridges;
  return html`<section class="bridges">
    ${one && html`<${Bridge} w=${w} now=${now} declared=${declared} live=${live} bridge=${one} sites=${sites} />`}
    ${one && two && html`<${Between} w=${w} live=${live} one=${one} two=${two} />`}
    ${bridges.slice(1).map((bridge) => html`<${Bridge} w=${w} now=${now} declared=${declared} live=${live} bridge=${bridge} sites=${sites} />`)}
  </section>`;
}

function Bridge({ w, now, declared, live, bridge, sites }) {
  const own = sites.filter((site) => site.bridge === bridge.id);
  const { verdict, since } = bridge.shown;
  const hub = live.streamsOf(bridge.id).find((stream) => stream.probe === "hub" && !stream.stale);
  const parts = [...COUNTED, "not_fitted"].map((each) => [each, count(own, each)]).filter(([, n]) => n);
  return html`<a class=${`bridge ${verdict}`} href=${`/site/${bridge.id}`}>
    <h2>${w.name(bridge)} <${Verdict} w=${w} verdict=${verdict} /></h2>
    ${(verdict in TROUBLED || verdict === "unknown") && html`<p>${figureOver(w, declared, bridge)} · ${w.since(since, now)}</p>`}
    ${hub && html`<p>${w.t("wall.hub_running", { n: hub.figures.get("hub.sessions")?.value ?? 0 })}</p>`}
    <p>${w.t("wall.bridge_sites", { n: own.length })}: ${parts.map(([each, n]) => `${n} ${w.t(`verdict.${each}`).toLowerCase()}`).join(" · ")}</p>
  </a>`;
}

/** What the bridges last measured of the way between them: the fresher of the two. */
function Between({ w, live, one, two }) {
  const links = [[one, two], [two, one]].flatMap(([from, to]) => live.streamsOf(from.id).filter((stream) => stream.probe === "link" && stream.target === to.id && !stream.stale));
  const [link] = links.sort((a, b) => b.at - a.at);
  const rtt = link?.figures.get("link.rtt_p50_ms");
  const losses = ["link.loss_up_ratio", "link.loss_down_ratio", "link.loss_round_ratio"].map((metric) => link?.figures.get(metric)).filter((figure) => figure && !figure.stale);
  return html`<div class="between">
    <svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><path d="M0 6H100" stroke="currentColor" stroke-width="2" stroke-dasharray=${link ? "none" : "4 4"} vector-effect="non-scaling-stroke" /></svg>
    <p>${w.t(link ? "wall.between" : "wall.between_none")}</p>
    ${link && html`<p class="ways">
      ${rtt && !rtt.stale && html`<span>${w.t("wall.rtt")} <${Figure} w=${w} value=${rtt.value} unit="ms" /></span>`}
      ${losses.length > 0 && html`<span>${w.t("wall.loss")} <${Figure} w=${w} value=${Math.max(...losses.map((loss) => loss.value))} unit="ratio" /></span>`}
    </p>`}
  </div>`;
}

/** A bridge's sites by area. On a phone they are folded away: the troubled stand above already. */
function Column({ w, now, declared, bridge, sites, open }) {
  const areas = new Map();
  for (const site of sites) areas.set(site.area, [...(areas.get(site.area) ?? []), site]);
  const list = [...areas].map(([area, within]) => html`<div class="area" key=${area}>
    <h3>${area ? within[0].area_vi || area : w.t("wall.other_area")}</h3>
    <div class="tiles">${within.map((site) => html`<${Tile} key=${site.id} w=${w} now=${now} declared=${declared} site=${site} />`)}</div>
  </div>`);
  return html`<section class="column" aria-label=${w.name(bridge)}>
    ${NARROW.matches ? html`<details open=${open}><summary>${w.name(bridge)} <span class="muted">${w.t("wall.bridge_sites", { n: sites.length })}</span></summary>${list}</details>` : list}
  </section>`;
}

/** A good site is its name and nothing else; a troubled one says what, in two lines that are never cut. */
function Tile({ w, now, declared, site }) {
  const { verdict, since } = site.shown;
  const kind = w.t(`type.${site.type}.short`);
  const told = verdict === "unknown" ? `${w.t("verdict.unknown")} ${w.t("time.since", { time: w.moment(since, now) })}`
    : verdict in TROUBLED ? w.t("tile.told", { verdict: w.t(`verdict.${verdict}`), told: figureOver(w, declared, site, true) }) : null;
  const reached = verdict === "not_fitted" && reach(w, now, site);
  return html`<a class=${`tile ${verdict}`} href=${`/site/${site.id}`} title=${w.t(`verdict.${verdict}`)}>
    ${verdict !== "not_fitted" && html`<${Shape} verdict=${verdict} />`}
    <span>${kind && html`<span class="kind">${kind} </span>`}${site.name_vi}${told === null && html`<span class="hidden">: ${w.t(`verdict.${verdict}`)}</span>`}</span>
    ${told && html`<span class="told">${told}</span>`}
    ${reached && html`<span class="told">${reached}</span>`}
  </a>`;
}

/** What the centre itself measures of a site that has no device: an answer of its router, or since when none. */
function reach(w, now, { reach: found }) {
  if (!found || found.stale || found.answers === null) return null;
  if (!found.answers) return w.t("tile.reach_no", { since: w.t("time.since", { time: w.moment(found.since ?? found.at, now) }) });
  return found.rtt_p50_ms === undefined ? null : w.t("tile.reach_ok", { value: w.figure(found.rtt_p50_ms, "ms") });
}

/** What must be looked at, worst and longest first; several sites of one area are one card. */
function Attention({ w, now, declared, sites }) {
  const troubled = sites.filter((site) => site.shown.verdict in TROUBLED);
  const unknown = sites.filter((site) => site.shown.verdict === "unknown" && site.type !== BRIDGE);
  const fitted = sites.some((site) => site.shown.verdict !== "not_fitted");
  const notes = sites.filter((site) => site.more.note_vi);
  return html`<aside class="attention">
    ${notes.slice(0, 1).map((site) => html`<${Trial} w=${w} site=${site} />`)}
    <h2>${w.t("wall.attention")}</h2>
    ${troubled.length === 0 && html`<p class="quiet">${w.t(fitted ? "wall.attention_none" : "wall.nothing_fitted")}</p>`}
    ${grouped(troubled).map((group, place) => html`<${Card} key=${group[0].id} full=${place < FULL_CARDS} w=${w} now=${now} declared=${declared} sites=${group} />`)}
    ${unknown.length > 0 && html`<div class="card unknown">
      <h3>${w.t("wall.unknown")}</h3>
      <ul class="names">${unknown.map((site) => html`<li key=${site.id}><a class="link" href=${`/site/${site.id}`}>${w.name(site)}</a> <span class="muted">${w.t("time.since", { time: w.moment(site.shown.since, now) })}</span></li>`)}</ul>
    </div>`}
    <${Legend} w=${w} />
  </aside>`;
}

function Trial({ w, site }) {
  return html`<div class="notice"><strong>${w.name(site)}</strong>${w.note(site)}</div>`;
}

function grouped(troubled) {
  const groups = new Map();
  for (const site of troubled) {
    const key = site.area ? `${site.bridge}/${site.area}/${site.shown.metric}` : site.id;
    groups.set(key, [...(groups.get(key) ?? []), site]);
  }
  const rank = (site) => [TROUBLED[site.shown.verdict], site.shown.since];
  const order = (a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1];
  return [...groups.values()].map((group) => group.sort(order)).sort((a, b) => order(a[0], b[0]));
}

function Card({ w, now, declared, sites, full }) {
  const [worst] = sites;
  const { verdict, since } = worst.shown;
  const many = sites.length > 1;
  const doing = full && cure(w, declared, worst);
  return html`<article class=${`card ${verdict}`}>
    <h3>${many ? w.t("wall.area_many", { name: worst.area_vi, n: sites.length }) : html`<a href=${`/site/${worst.id}`}>${w.name(worst)}</a>`}</h3>
    <p class="since"><${Verdict} w=${w} verdict=${verdict} /> ${w.since(Math.min(...sites.map((site) => site.shown.since)), now)}</p>
    ${many && html`<ul class="names">${sites.map((site) => html`<li key=${site.id}><a class="link" href=${`/site/${site.id}`}>${w.name(site)}</a></li>`)}</ul>`}
    <p>${figureOver(w, declared, worst)} ${segment(w, worst) && html`<span class="muted">· ${segment(w, worst)}</span>`}</p>
    ${doing && html`<p class="do">${doing}</p>`}
  </article>`;
}

function Legend({ w }) {
  return html`<ul class="legend" aria-label=${w.t("wall.legend")}>
    ${[...COUNTED, "not_fitted"].map((verdict) => html`<li><${Verdict} w=${w} verdict=${verdict} /></li>`)}
  </ul>`;
}
