// Asks the centre as one of its own pages: the header shows that no foreign page asks, a refusal carries its status.

export class Refused extends Error {
  constructor(status, detail, again) {
    super(detail);
    this.status = status;
    this.again = again; // seconds to wait, when the centre said so
  }
}

/** The answer's JSON (null for none). Throws `Refused`; who is not known any more is sent to the login page. */
export async function ask(method, path, body) {
  const headers = { "X-Requested-By": "diemcau", ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "same-origin" });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !OPEN.has(location.pathname)) toLogin();
  throw new Refused(answer.status, told.detail ?? "", Number(answer.headers.get("Retry-After")) || 0);
}

const OPEN = new Set(["/login", "/join", "/kiosk"]);

/** To the login page, and back here after it. */
export function toLogin() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Where to go after a login: a path of this very origin, whatever an address from elsewhere says. */
export function nextOf(search, origin) {
  try {
    const wanted = new URL(new URLSearchParams(search).get("next") ?? "/", origin);
    return wanted.origin === origin && !OPEN.has(wanted.pathname) ? wanted.pathname + wanted.search : "/";
  } catch {
    return "/";
  }
}

/** The catalogue's key for what went wrong. */
export function faultOf(error) {
  const known = [401, 403, 404, 410, 422, 429, 503];
  return error instanceof Refused && known.includes(error.status) ? String(error.status) : "other";
}
