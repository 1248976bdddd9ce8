// Why something was refused, and the field for a password: what the forms share.
import { html, useState } from "./vendor/preact.js";
import { faultOf } from "./ask.js";

/** In words; what this page knows better than the rest comes first. */
export function Fault({ w, fault, family }) {
  if (!fault) return null;
  const own = `${family}_${faultOf(fault)}`;
  const key = w.has(`fault.${own}`) ? own : faultOf(fault);
  return html`<p class="refused" role="alert">${w.t(`fault.${key}`, { span: w.span((fault.again ?? 0) * 1000) })}</p>`;
}

export function Password({ w, label, name = "password", ...more }) {
  const [shown, show] = useState(false);
  return html`<label class="field">${label}<input name=${name} type=${shown ? "text" : "password"} maxlength="200" required ...${more} /></label>
    <label class="tick"><input type="checkbox" checked=${shown} onChange=${() => show(!shown)} />${w.t("login.show")}</label>`;
}

/** What a form sends, whether it waits for the answer, and why the last one was refused. */
export function useSending(send) {
  const [waits, wait] = useState(false);
  const [fault, blame] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    wait(true);
    blame(null);
    try {
      await send(new FormData(event.target), event.target);
    } catch (error) {
      blame(error);
    }
    wait(false);
  };
  return { waits, fault, submit };
}
