// The own account: who I am, where I am logged in, a new password, out.
import { html, useEffect, useState } from "./vendor/preact.js";
import { ask } from "./ask.js";
import { Fault, Password, useSending } from "./fault.js";

export function Own({ w, me }) {
  const [sessions, setSessions] = useState([]);
  const [changed, tell] = useState(false);
  const load = () => ask("GET", "/api/v1/me/sessions").then((found) => setSessions(found.sessions), () => {});
  const end = (id) => ask("DELETE", `/api/v1/me/sessions/${id}`).then(load, load);
  const { waits, fault, submit } = useSending(async (form, element) => {
    tell(false);
    await ask("PUT", "/api/v1/me/password", { old: form.get("old"), new: form.get("new") });
    element.reset();
    tell(true);
    await load();
  });
  useEffect(() => { load(); }, []);
  return html`<section aria-label=${w.t("own.title")}>
    <h2>${w.t("own.title")}</h2>
    <div class="inline"><p>${w.t("own.who", { shown: me.shown, role: w.t(`role.${me.role}`) })}</p>${me.how === "session" && html`<button onClick=${logOut}>${w.t("own.out")}</button>`}</div>
    ${sessions.length > 0 && html`<div class="scrolls" tabindex="0"><table><thead><tr>${["address", "agent", "began", "used", "does"].map((head) => html`<th key=${head} scope="col">${w.t(`column.${head}`)}</th>`)}</tr></thead><tbody>
      ${sessions.map((session) => html`<tr key=${session.id}><td>${session.address}</td><td class="long">${session.agent}</td><td class="fig">${w.moment(session.created_at, Date.now())}</td><td class="fig">${w.moment(session.seen_at, Date.now())}</td>
        <td class="does">${session.this ? w.t("own.this") : html`<button onClick=${() => end(session.id)}>${w.t("does.end")}</button>`}</td></tr>`)}
    </tbody></table></div>`}
    ${me.how === "session" && html`<form class="inline" onSubmit=${submit}>
      <input type="text" name="username" autocomplete="username" value=${me.name} hidden />
      <${Password} w=${w} name="old" label=${w.t("own.old")} autocomplete="current-password" />
      <${Password} w=${w} name="new" label=${w.t("own.new")} autocomplete="new-password" minlength="10" />
      <button disabled=${waits}>${w.t("own.change")}</button>
    </form>`}
    <${Fault} w=${w} fault=${fault} family="own" />
    ${changed && html`<p role="status">${w.t("own.changed")}</p>`}
  </section>`;
}

async function logOut() {
  await ask("POST", "/api/v1/logout").catch(() => {});
  location.replace("/login");
}
