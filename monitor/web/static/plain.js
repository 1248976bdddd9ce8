// Pages without a live feed: words of both languages, the bar, and what the page itself shows.
import { html, render, useEffect, useMemo, useState } from "./vendor/preact.js";
import { Buttons } from "./page.js";
import { Words } from "./words.js";

const json = async (path) => (await fetch(path)).json();
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a locked-down browser forgets */ } };

/** Draws `View` with `{w, buttons}`. */
export async function startPlain(View) {
  const [vi, en] = await Promise.all([json("/words/vi.json"), json("/words/en.json")]);
  render(html`<${Page} View=${View} catalogues=${{ vi, en }} />`, document.getElementById("page"));
}

function Page({ View, catalogues }) {
  const [lang, setLang] = useState(document.documentElement.lang);
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const w = useMemo(() => new Words(catalogues[lang], lang), [lang]);
  useEffect(() => { document.documentElement.lang = lang; }, [lang]);
  useEffect(() => { document.documentElement.dataset.theme = theme; }, [theme]);
  const choose = (name, set) => (value) => { keep(name, value); set(value); };
  const buttons = html`<${Buttons} w=${w} lang=${lang} theme=${theme} setLang=${choose("lang", setLang)} setTheme=${choose("theme", setTheme)} />`;
  return html`<${View} w=${w} buttons=${buttons} />`;
}
