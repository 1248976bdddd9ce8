// Accounts, wall screens, API tokens and the audit log; each role sees what it may set.
import { html, useEffect, useState } from "./vendor/preact.js";
import { ask } from "./ask.js";
import { startPlain } from "./plain.js";
import { Own } from "./own.js";
import { Fault } from "./fault.js";

const ROLES = ["viewer", "technician", "operator", "admin"];
const RANK = { kiosk: 0, viewer: 1, technician: 2, operator: 3, admin: 4 };
const DAY_MS = 86_400_000;

startPlain(People);

function People({ w, buttons }) {
  const [me, setMe] = useState(null);
  const [sites, setSites] = useState([]);
  useEffect(() => { ask("GET", "/api/v1/me").then(setMe, () => {}); ask("GET", "/api/v1/sites").then((found) => setSites(found.sites), () => {}); }, []);
  useEffect(() => { document.title = w.t("people.title"); }, [w]);
  const may = (role) => me && RANK[me.role] >= RANK[role];
  return html`
    <header class="bar"><h1>${w.t("people.title")}</h1><a class="link" href="/">${w.t("people.to_wall")}</a><div class="end">${buttons}</div></header>
    <main class="people">
      ${me && html`<${Own} w=${w} me=${me} />`}
      ${may("admin") && html`<${Accounts} w=${w} sites=${sites} />`}
      ${may("operator") && html`<${Screens} w=${w} />`}
      ${may("admin") && html`<${Tokens} w=${w} sites=${sites} /><${Audit} w=${w} />`}
    </main>`;
}

/** A list of the centre: its rows, how to ask anew, how to change something, and why that was refused. */
function useList(path, key) {
  const [rows, setRows] = useState(null);
  const [fault, blame] = useState(null);
  const [once, tell] = useState(null);
  const load = () => ask("GET", path).then((found) => setRows(found[key]), blame);
  const change = async (method, where, body) => {
    blame(null);
    tell(null);
    try {
      tell(await ask(method, where, body));
      await load();
      return true;
    } catch (error) {
      blame(error);
      return false;
    }
  };
  useEffect(() => { load(); }, []);
  return { rows: rows ?? [], fault, once, change };
}

const at = (path, name, reason = "") => `${path}/${encodeURIComponent(name)}${reason && `?reason=${encodeURIComponent(reason)}`}`;
const day = (w, ms) => (ms ? w.moment(ms, Date.now()) : "–");

function Accounts({ w, sites }) {
  const { rows, fault, once, change } = useList("/api/v1/users", "users");
  return html`<section aria-label=${w.t("people.accounts")}>
    <h2>${w.t("people.accounts")}</h2>
    <${Table} heads=${["name", "shown", "role", "sites", "state", "does"].map((head) => w.t(`column.${head}`))}>
      ${rows.map((user) => html`<${Account} key=${user.name} w=${w} user=${user} sites=${sites} change=${change} />`)}
    </${Table}>
    <${Fault} w=${w} fault=${fault} family="people" />
    <${Once} w=${w} secret=${once?.link && location.origin + once.link} />
    <${NewAccount} w=${w} sites=${sites} change=${change} />
  </section>`;
}

function stateOf(user) {
  if (user.disabled_at) return "closed";
  return user.has_password ? "open" : "new";
}

function Account({ w, user, sites, change }) {
  const [doing, start] = useState(null);
  const path = at("/api/v1/users", user.name);
  const closed = Boolean(user.disabled_at);
  const deeds = {
    link: (reason) => change("POST", `${path}/link?reason=${encodeURIComponent(reason)}`),
    sessions: (reason) => change("DELETE", `${path}/sessions?reason=${encodeURIComponent(reason)}`),
    [closed ? "open" : "close"]: (reason) => change("PATCH", path, { open: closed, reason: reason || null }),
  };
  const finish = (done) => { if (done) start(null); };
  return html`<tr class=${closed ? "closed" : ""}>
      <td>${user.name}</td><td>${user.shown}</td><td>${w.t(`role.${user.role}`)}</td>
      <td class="long">${namesOf(w, user.sites, sites)}</td><td>${w.t(`state.${stateOf(user)}`)}</td>
      <td class="does"><button onClick=${() => start("role")}>${w.t("does.role")}</button>${Object.keys(deeds).map((deed) => html`<button key=${deed} onClick=${() => start(deed)}>${w.t(`does.${deed}`)}</button>`)}</td>
    </tr>
    ${doing === "role" && html`<tr><td colspan="6"><${Bound} w=${w} sites=${sites} of=${user} word=${w.t("people.save")}
      send=${async (said) => finish(await change("PATCH", path, said))} cancel=${() => start(null)} /></td></tr>`}
    ${deeds[doing] && html`<tr><td colspan="6"><${Why} w=${w} word=${w.t(`does.${doing}`)} send=${async (reason) => finish(await deeds[doing](reason))} cancel=${() => start(null)} /></td></tr>`}`;
}

/** Why, before it is done. */
function Why({ w, word, send, cancel }) {
  return html`<form class="inline" onSubmit=${(event) => { event.preventDefault(); send(new FormData(event.target).get("reason").trim()); }}>
    <label class="field">${w.t("people.reason")}<input name="reason" maxlength="300" autofocus /></label>
    <button class="main">${word}</button><button type="button" onClick=${cancel}>${w.t("people.cancel")}</button>
  </form>`;
}

/** A role and, for a technician, the sites it is bound to. */
function Bound({ w, sites, of = {}, word, send, cancel, children, roles = ROLES }) {
  const [role, setRole] = useState(of.role ?? roles[0]);
  const [bound, bind] = useState(of.sites ?? []);
  const technician = role === "technician";
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const said = Object.fromEntries([...new FormData(form)].map(([key, value]) => [key, value.trim() || null]));
    if (await send({ ...said, role, sites: technician ? bound : null })) { form.reset(); bind([]); }
  };
  return html`<form class="inline" onSubmit=${submit}>
    ${children}
    <label class="field">${w.t("column.role")}<select value=${role} onChange=${(event) => setRole(event.target.value)}>${roles.map((each) => html`<option key=${each} value=${each}>${w.t(`role.${each}`)}</option>`)}</select></label>
    ${technician && html`<label class="field">${w.t("people.add_site")}<select value="" onChange=${(event) => bind([...new Set([...bound, event.target.value])])}>
      <option value=""></option>${sorted(w, sites).map((site) => html`<option key=${site.id} value=${site.id}>${nameOf(w, site)}</option>`)}</select></label>`}
    <label class="field">${w.t("people.reason")}<input name="reason" maxlength="300" /></label>
    <button class="main">${word}</button>${cancel && html`<button type="button" onClick=${cancel}>${w.t("people.cancel")}</button>`}
    ${technician && bound.length > 0 && html`<ul class="chips">${bound.map((id) => html`<li key=${id}><button type="button" aria-label=${w.t("people.remove", { name: namesOf(w, [id], sites) })} onClick=${() => bind(bound.filter((each) => each !== id))}>${namesOf(w, [id], sites)} ×</button></li>`)}</ul>`}
  </form>`;
}

function NewAccount({ w, sites, change }) {
  return html`<${Bound} w=${w} sites=${sites} word=${w.t("people.make")} send=${(said) => change("POST", "/api/v1/users", { ...said, shown: said.shown ?? "" })}>
    <label class="field">${w.t("column.name")}<input name="name" pattern="[a-z0-9][a-z0-9._@\\-]*" maxlength="64" autocapitalize="none" required /></label>
    <label class="field">${w.t("column.shown")}<input name="shown" maxlength="80" /></label>
  </${Bound}>`;
}

function Screens({ w }) {
  const { rows, fault, once, change } = useList("/api/v1/kiosks", "kiosks");
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const said = new FormData(form);
    if (await change("POST", "/api/v1/kiosks", { name: said.get("name").trim(), reason: said.get("reason").trim() || null })) form.reset();
  };
  return html`<section aria-label=${w.t("people.screens")}>
    <h2>${w.t("people.screens")}</h2><p class="muted">${w.t("people.screens_help")}</p>
    <${Table} heads=${["screen", "made_by", "used", "does"].map((head) => w.t(`column.${head}`))}>
      ${rows.map((screen) => html`<${Ended} key=${screen.name} w=${w} columns=${[screen.name, screen.made_by, day(w, screen.used_at)]} end=${(reason) => change("DELETE", at("/api/v1/kiosks", screen.name, reason))} />`)}
    </${Table}>
    <${Fault} w=${w} fault=${fault} family="people" />
    <${Once} w=${w} secret=${once?.link && location.origin + once.link} />
    <form class="inline" onSubmit=${submit}>
      <label class="field">${w.t("column.screen")}<input name="name" maxlength="64" required /></label>
      <label class="field">${w.t("people.reason")}<input name="reason" maxlength="300" /></label>
      <button class="main">${w.t("people.make_screen")}</button>
    </form>
  </section>`;
}

function Tokens({ w, sites }) {
  const { rows, fault, once, change } = useList("/api/v1/tokens", "tokens");
  const send = ({ days, ...said }) => change("POST", "/api/v1/tokens", { ...said, expires_at: days ? Date.now() + days * DAY_MS : null });
  return html`<section aria-label=${w.t("people.tokens")}>
    <h2>${w.t("people.tokens")}</h2>
    <${Table} heads=${["token", "role", "sites", "made_by", "used", "until", "does"].map((head) => w.t(`column.${head}`))}>
      ${rows.filter((token) => token.role !== "kiosk").map((token) => html`<${Ended} key=${token.name} w=${w} end=${(reason) => change("DELETE", at("/api/v1/tokens", token.name, reason))}
        columns=${[token.name, w.t(`role.${token.role}`), namesOf(w, token.sites, sites), token.made_by, day(w, token.used_at), day(w, token.expires_at)]} />`)}
    </${Table}>
    <${Fault} w=${w} fault=${fault} family="people" />
    <${Once} w=${w} secret=${once?.token} />
    <${Bound} w=${w} sites=${sites} word=${w.t("people.make_token")} send=${send}>
      <label class="field">${w.t("column.token")}<input name="name" maxlength="64" required /></label>
      <label class="field">${w.t("people.days")}<input name="days" type="number" min="1" max="3660" /></label>
    </${Bound}>
  </section>`;
}

/** A row that can only be ended. */
function Ended({ w, columns, end }) {
  const [asks, setAsks] = useState(false);
  return html`<tr>${columns.map((text, place) => html`<td key=${place} class="long">${text}</td>`)}<td class="does"><button onClick=${() => setAsks(true)}>${w.t("does.end")}</button></td></tr>
    ${asks && html`<tr><td colspan=${columns.length + 1}><${Why} w=${w} word=${w.t("does.end")} send=${end} cancel=${() => setAsks(false)} /></td></tr>`}`;
}

function Audit({ w }) {
  const [deeds, setDeeds] = useState([]);
  const [next, setNext] = useState(undefined);
  const load = async () => {
    const found = await ask("GET", `/api/v1/audit?limit=50${next ? `&before=${next}` : ""}`);
    setDeeds([...deeds, ...found.deeds]);
    setNext(found.next);
  };
  useEffect(() => { load().catch(() => {}); }, []);
  return html`<section aria-label=${w.t("people.audit")}>
    <h2>${w.t("people.audit")}</h2>
    <${Table} heads=${["at", "who", "action", "target", "reason", "change"].map((head) => w.t(`column.${head}`))}>
      ${deeds.map((deed) => html`<tr key=${deed.id}><td class="fig">${w.moment(deed.at, Date.now())}</td><td>${deed.who}</td>
        <td>${w.has(`deed.${deed.action}`) ? w.t(`deed.${deed.action}`) : deed.action}</td><td class="long">${deed.target}</td><td class="long">${deed.reason ?? ""}</td><td class="long">${changeOf(deed)}</td></tr>`)}
    </${Table}>
    ${next && html`<div><button onClick=${() => load().catch(() => {})}>${w.t("people.more")}</button></div>`}
  </section>`;
}

/** What became of what: `role: viewer → operator`. */
function changeOf({ before, after }) {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return keys.map((key) => [key, ...[before, after].filter((side) => side && key in side).map((side) => text(side[key]))])
    .map(([key, ...values]) => `${key}: ${values.join(" → ")}`).join("; ");
}

function Table({ heads, children }) {
  return html`<div class="scrolls" tabindex="0"><table><thead><tr>${heads.map((head, place) => html`<th key=${place} scope="col">${head}</th>`)}</tr></thead><tbody>${children}</tbody></table></div>`;
}

/** A secret, this once. */
function Once({ w, secret }) {
  if (!secret) return null;
  return html`<div class="once" role="status"><strong>${w.t("people.once")}</strong><code>${secret}</code>
    <div><button onClick=${() => navigator.clipboard?.writeText(secret)}>${w.t("people.copy")}</button></div></div>`;
}

const nameOf = (w, site) => w.name({ ...site, name_vi: site.name.vi, name_en: site.name.en });
const sorted = (w, sites) => [...sites].sort((one, other) => w.collator.compare(one.name.vi, other.name.vi));

function namesOf(w, ids, sites) {
  if (!ids) return w.t("people.all_sites");
  return ids.map((id) => sites.find((site) => site.id === id)).map((site, place) => (site ? nameOf(w, site) : ids[place])).join(", ");
}
