// The live feed: all sites once, then every change as it happens; whether the feed itself is alive is part of the state.

import { toLogin } from "./ask.js";

const SILENT_MS = 4_500; // the centre says something at least every 2 s, so a page is grey within 5
const TICK_MS = 1_000;
const AGAIN_MS = 2_000;

/** The verdict of a site or mark as the pages hold it; a site's failure is that of the mark which decided it. */
function shownOf({ verdict, since, why, metric, value, usual, failure, target }) {
  return { verdict, since, why, metric, value, usual, failure, target };
}

function siteOf(view) {
  const marks = Object.fromEntries(Object.entries(view.marks).map(([mark, shown]) => [mark, shownOf(shown)]));
  const decided = Object.values(marks).find((mark) => mark.verdict === view.verdict && mark.since === view.since);
  return {
    ...view, name_vi: view.name.vi, name_en: view.name.en, more: view.more ?? {},
    marks, shown: { ...shownOf(view), failure: decided?.failure, target: decided?.target },
  };
}

/** A stream with its figures by metric; the stale ones say so themselves. */
function streamOf(view) {
  return { ...view, figures: new Map(view.figures.map((figure) => [figure.metric, figure])) };
}

export class Live {
  /**
   * `changed` is called after every change and each second. `watch(sites)` names the sites whose figures the page shows;
   * `only` is the one site of a page of its own, and spares it the others' readings.
   */
  constructor(changed, { watch, only = null }) {
    this.changed = changed;
    this.watch = watch;
    this.only = only;
    this.sites = new Map();
    this.streams = new Map();
    this.failed = false;
    this.heardAt = 0;
    this.tuned = Date.now();
    this.ahead = 0; // of the centre's clock before this machine's, ms
    this.rate = 1;
    this.simulated = false;
    this.loading = new Set();
  }

  /** Starts; returns what ends it. */
  run() {
    const ticking = setInterval(() => this.changed(), TICK_MS);
    this.#load();
    this.#open();
    return () => { clearInterval(ticking); this.source?.close(); };
  }

  /** The centre's time, ms since 1970 UTC. */
  now() {
    return this.tuned + this.ahead + (Date.now() - this.tuned) * this.rate;
  }

  /** Whether the feed has been silent for longer than the centre ever is. */
  get lost() {
    return this.heard !== undefined && performance.now() - this.heard > SILENT_MS;
  }

  streamsOf(site) {
    return this.streams.get(site) ?? [];
  }

  #open() {
    this.source?.close();
    const source = this.source = new EventSource(this.only ? `/api/v1/events?site=${encodeURIComponent(this.only)}` : "/api/v1/events");
    const on = (name, take) => source.addEventListener(name, (event) => { this.#hear(JSON.parse(event.data), take); });
    on("hello", (hello) => { this.#tune(hello); this.#load(); });
    on("beat", (beat) => this.#tune(beat));
    on("reading", ({ readings }) => this.#reading(readings));
    on("verdict", (view) => this.#verdict(view));
    on("end", () => { source.close(); toLogin(); });
    on("bye", () => { source.close(); this.#open(); });
    // A browser gives up for good after an answer that is no stream (a proxy's 502): begin anew ourselves.
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#open(), AGAIN_MS); };
  }

  #hear(data, take) {
    this.heard = performance.now();
    this.heardAt = this.now();
    take(data);
    this.changed();
  }

  #tune({ now, clock }) {
    if (now === undefined) return;
    this.tuned = Date.now();
    this.ahead = now - this.tuned;
    this.heardAt = now;
    if (clock) { this.rate = clock.rate; this.simulated = clock.simulated; }
  }

  async #fetch(path) {
    const answer = await fetch(path);
    if (answer.status === 401) toLogin();
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
    return answer.json();
  }

  async #load() {
    try {
      const { sites } = await this.#fetch("/api/v1/sites");
      this.sites = new Map(sites.map((view) => [view.id, siteOf(view)]));
      this.failed = false;
      this.heard ??= performance.now();
      for (const id of this.watch(this.sites)) this.#figures(id);
    } catch (error) {
      this.failed = true;
      console.warn(error);
      setTimeout(() => this.#load(), AGAIN_MS);
    }
    this.changed();
  }

  /** The figures of one site, all of them with limits and verdicts; one question at a time. */
  async #figures(id) {
    if (!this.sites.has(id) || this.loading.has(id)) return;
    this.loading.add(id);
    try {
      const { streams } = await this.#fetch(`/api/v1/sites/${encodeURIComponent(id)}`);
      this.streams.set(id, streams.map(streamOf));
      this.changed();
    } catch (error) {
      console.warn(error); // the next reading asks again, and a centre that is gone greys the page
    } finally {
      this.loading.delete(id);
    }
  }

  #reading(readings) {
    const watched = new Set(this.watch(this.sites));
    for (const id of new Set(readings.map((reading) => reading.site))) if (watched.has(id)) this.#figures(id);
  }

  #verdict(view) {
    this.sites.set(view.id, siteOf(view));
    if (this.watch(this.sites).includes(view.id)) this.#figures(view.id);
  }
}
