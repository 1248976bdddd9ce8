// What every page shares: words of both languages, the live feed, the clock of the centre, the bar's buttons.
import { html, render, useEffect, useMemo, useState } from "./vendor/preact.js";
import { Live } from "./live.js";
import { Words } from "./words.js";

const json = async (path) => (await fetch(path)).json();
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a locked-down browser forgets */ } };

/** Draws `View` with `{w, live, now, declared, buttons, warnings}`, again each second and whenever the feed speaks. */
export async function start(View, feed) {
  const [vi, en, declared] = await Promise.all([json("/words/vi.json"), json("/words/en.json"), json("/static/declared.json")]);
  render(html`<${Page} View=${View} feed=${feed} catalogues=${{ vi, en }} declared=${declared} />`, document.getElementById("page"));
}

function Page({ View, feed, catalogues, declared }) {
  const [lang, setLang] = useState(document.documentElement.lang);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const [, draw] = useState(0);
  const live = useMemo(() => new Live(() => draw((count) => count + 1), feed), []);
  const w = useMemo(() => new Words(catalogues[lang], lang), [lang]);

  useEffect(() => { document.documentElement.lang = lang; }, [lang]);
  useEffect(() => { document.documentElement.dataset.theme = theme; }, [theme]);
  useEffect(() => live.run(), []);

  const choose = (name, set) => (value) => { keep(name, value); set(value); };
  const buttons = html`<${Buttons} w=${w} lang=${lang} theme=${theme} setLang=${choose("lang", setLang)} setTheme=${choose("theme", setTheme)} />`;
  return html`<div class=${live.lost ? "stale" : ""}>
    <${View} w=${w} live=${live} now=${live.now()} declared=${declared} buttons=${buttons} warnings=${html`<${Warnings} w=${w} live=${live} />`} />
  </div>`;
}

export function Buttons({ w, lang, theme, setLang, setTheme }) {
  const [other, name] = lang === "vi" ? ["en", "English"] : ["vi", "Tiếng Việt"];
  return html`
    <button onClick=${() => setTheme(theme === "dark" ? "light" : "dark")}>${w.t(theme === "dark" ? "theme.to_light" : "theme.to_dark")}</button>
    <button lang=${other} onClick=${() => setLang(other)}>${name}</button>`;
}

/** What must be known before anything on the page is believed: a feed that is gone, a clock that is not the real one. */
function Warnings({ w, live }) {
  return html`
    ${live.lost && html`<p class="warning lost" role="alert">${w.t("feed.lost", { time: w.clockSeconds.format(live.heardAt) })}</p>`}
    ${live.simulated && html`<p class="warning">${w.t("feed.simulated", { rate: w.limitNumber(live.rate) })}</p>`}`;
}
