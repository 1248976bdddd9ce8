// Words and figures of one language. One catalogue per language; figures by the browser's own Intl.

const LOCALES = { vi: "vi-VN", en: "en-GB" };
const ZONE = "Asia/Ho_Chi_Minh";
const THIN = "\u202f";

/** How many decimals mean something: a share to a tenth of a per cent, a small figure to two digits that count. */
function decimals(size) {
  if (size === 0 || size >= 100) return 0;
  if (size >= 1) return 1;
  return size >= 0.095 ? 2 : 3;
}

export class Words {
  constructor(catalogue, lang) {
    this.catalogue = catalogue;
    this.lang = lang;
    this.locale = LOCALES[lang];
    this.clock = this.#time({ hour: "2-digit", minute: "2-digit" });
    this.clockSeconds = this.#time({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.day = this.#time({ day: "2-digit", month: "2-digit" });
    this.long = this.#time({ weekday: "long", day: "numeric", month: "numeric", year: "numeric" });
    this.collator = new Intl.Collator("vi");
  }

  #time(options) {
    return new Intl.DateTimeFormat(this.locale, { timeZone: ZONE, hourCycle: "h23", ...options });
  }

  /** The words of a key, its `{names}` filled in. A missing key shows itself: a test and the eye both find it. */
  t(key, filled = {}) {
    const words = this.catalogue[key];
    if (words === undefined) {
      console.error(`no words for ${key}`);
      return key;
    }
    return words.replace(/\{(\w+)\}/g, (_, name) => filled[name] ?? "");
  }

  has(key) {
    return key in this.catalogue;
  }

  /** The text of a `{vi, en}` of the declarations. */
  of(text) {
    return text?.[this.lang] ?? "";
  }

  number(value, places = decimals(Math.abs(value))) {
    return new Intl.NumberFormat(this.locale, { minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
  }

  /** A limit is written as it was declared, without decimals nobody set. */
  limitNumber(value) {
    return new Intl.NumberFormat(this.locale, { maximumFractionDigits: 4 }).format(value);
  }

  /** `{digits, unit}` of a figure on the wire: 0.042 as a ratio is 4,2 and %. */
  parts(value, unit) {
    if (unit === "yes_no") return { digits: this.t(value ? "answer.yes" : "answer.no"), unit: "" };
    if (unit === "ratio") return { digits: this.#share(value * 100), unit: this.t("unit.ratio") };
    const whole = ["packets", "reports", "count", "bytes", "px", "dscp"].includes(unit);
    return { digits: this.number(value, whole ? 0 : undefined), unit: this.t(`unit.${unit}`) };
  }

  #share(percent) {
    if (percent > 0 && percent < 0.1) return this.number(percent, 2);
    return this.number(percent, percent === 100 ? 0 : 1);
  }

  figure(value, unit) {
    const { digits, unit: word } = this.parts(value, unit);
    return word ? `${digits}${THIN}${word}` : digits;
  }

  limit(value, unit) {
    const shown = unit === "ratio" ? value * 100 : value;
    const word = unit === "yes_no" ? "" : this.t(`unit.${unit}`);
    return word ? `${this.limitNumber(shown)}${THIN}${word}` : this.limitNumber(shown);
  }

  /** What a reading may be, the fair limits where it is poor, else the good ones. `short` where a heading says that it is a limit. */
  allowed(limits, unit, verdict, short = false) {
    const [low, high] = (verdict === "poor" ? limits?.fair : limits?.good) ?? [null, null];
    const ends = { limit: this.limit(high ?? low ?? 0, unit), low: this.limit(low ?? 0, unit), high: this.limit(high ?? 0, unit) };
    if (low === null && high === null) return this.t("limit.none");
    if (low === null) return this.t(short ? "limit.short_most" : "limit.at_most", ends);
    if (high === null) return this.t(short ? "limit.short_least" : "limit.at_least", ends);
    return this.t(short ? "limit.short_between" : "limit.between", ends);
  }

  span(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    if (seconds < 60) return this.t("span.seconds", { n: seconds });
    if (hours < 1) return this.t("span.minutes", { n: minutes });
    if (hours >= 48) return this.t("span.days", { n: Math.floor(hours / 24) });
    return minutes % 60 ? this.t("span.hours_minutes", { n: hours, m: minutes % 60 }) : this.t("span.hours", { n: hours });
  }

  /** The hour of a moment; with its day where it is not today. */
  moment(at, now) {
    const time = this.clock.format(at);
    if (this.day.format(at) === this.day.format(now)) return time;
    if (this.day.format(at) === this.day.format(now - 86_400_000)) return this.t("time.yesterday", { time });
    return this.t("time.day", { time, day: this.day.format(at) });
  }

  since(at, now) {
    return this.t("time.since_for", { time: this.moment(at, now), span: this.span(now - at) });
  }

  /** What must be known of a site before its figures are believed; empty for a real one. */
  note(site) {
    return (this.lang === "en" && site.more.note_en) || site.more.note_vi || "";
  }

  /** "Xã Tứ Kỳ", "Điểm cầu chính Hải Phòng". Names keep their Vietnamese letters in English too: Cẩm Giang is not Cẩm Giàng. */
  name(site) {
    const own = this.lang === "en" && site.type === "bridge" ? site.name_en || site.name_vi : site.name_vi;
    const type = this.t(`type.${site.type}`);
    if (!type) return own;
    return this.lang === "en" ? `${own} ${type}` : `${type} ${own}`;
  }
}

/** For searching: "tu ky", "Tứ Kỳ" and "TỨ KỲ" are alike. */
export function plain(text) {
  return text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/g, "d").trim();
}
