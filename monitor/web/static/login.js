// Coming in: the login, the one-time link that sets a password, the link of a wall screen.
import { html, useEffect, useState } from "./vendor/preact.js";
import { ask, nextOf } from "./ask.js";
import { Fault, Password, useSending } from "./fault.js";
import { startPlain } from "./plain.js";

const VIEWS = { "/login": Login, "/join": Join, "/kiosk": Kiosk };

startPlain(({ w, buttons }) => html`
  <header class="bar"><p class="title">${w.t("app.title")}</p><div class="end">${buttons}</div></header>
  <main class="narrow"><${VIEWS[location.pathname] ?? Login} w=${w} /></main>`);

function Login({ w }) {
  const { waits, fault, submit } = useSending(async (form) => {
    await ask("POST", "/api/v1/login", { name: form.get("name"), password: form.get("password") });
    location.replace(nextOf(location.search, location.origin));
  });
  useEffect(() => { document.title = w.t("login.title"); }, [w]);
  return html`<form class="sheet" onSubmit=${submit}>
    <h1>${w.t("login.title")}</h1>
    <label class="field">${w.t("login.name")}<input name="name" autocomplete="username" autocapitalize="none" spellcheck=${false} required autofocus /></label>
    <${Password} w=${w} label=${w.t("login.password")} autocomplete="current-password" />
    <${Fault} w=${w} fault=${fault} family="login" />
    <button class="main" disabled=${waits}>${w.t("login.enter")}</button>
    <p class="muted">${w.t("login.help")}</p>
  </form>`;
}

function Join({ w }) {
  const [name, code] = decodeURIComponent(location.hash.slice(1)).split("/");
  const { waits, fault, submit } = useSending(async (form) => {
    await ask("POST", "/api/v1/join", { code, password: form.get("password") });
    location.replace("/");
  });
  useEffect(() => { document.title = w.t("join.title"); }, [w]);
  if (!code) return html`<p class="sheet" role="alert">${w.t("join.none")}</p>`;
  return html`<form class="sheet" onSubmit=${submit}>
    <h1>${w.t("join.title")}</h1>
    <label class="field">${w.t("login.name")}<input name="username" autocomplete="username" value=${name} readonly /></label>
    <${Password} w=${w} label=${w.t("join.password")} autocomplete="new-password" minlength="10" />
    <p class="muted">${w.t("join.rule")}</p>
    <${Fault} w=${w} fault=${fault} family="join" />
    <button class="main" disabled=${waits}>${w.t("join.enter")}</button>
  </form>`;
}

function Kiosk({ w }) {
  const [fault, blame] = useState(null);
  useEffect(() => {
    document.title = w.t("kiosk.title");
    ask("POST", "/api/v1/kiosk", { key: location.hash.slice(1) }).then(() => location.replace("/"), blame);
  }, []);
  return html`<div class="sheet"><h1>${w.t("kiosk.title")}</h1>
    ${fault ? html`<${Fault} w=${w} fault=${fault} family="kiosk" />` : html`<p>${w.t("app.loading")}</p>`}</div>`;
}
