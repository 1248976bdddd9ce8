// A verdict in words: the figure against its limit, where the fault lies, what to do.

/** The limits that were passed: the site class's own where the declaration has them. */
function limitsOf(declared, site, metric) {
  const of = declared.metrics[metric];
  return of?.by_class[site.class] ?? of?.limits ?? null;
}

/** "Tỷ lệ mất gói, chiều gửi về trung tâm 4,2 % (cho phép tối đa 3 %)", or what failed, or why nothing is known. */
export function figureOver(w, declared, site, short = false) {
  const { verdict, why, metric, value, usual, failure: code } = site.shown;
  if (verdict === "unknown" && why === "never" && site.type === "bridge") return w.t("why.never.bridge");
  if (verdict === "unknown") return why ? w.t(`why.${why}`) : "";
  const failure = declared.failures[code];
  if (failure) return w.of(failure.label);
  const of = declared.metrics[metric];
  if (!of || value === null || value === undefined) return of ? w.of(of.label) : "";
  const figure = w.figure(value, of.unit);
  if (short) return w.t("site.figure_short", { label: w.has(`short.${metric}`) ? w.t(`short.${metric}`) : w.of(of.label), value: figure });
  if (usual) return w.t("site.figure_unusual", { label: w.of(of.label), value: figure, usual: w.figure(usual, of.unit) });
  return w.t("site.figure_over", { label: w.of(of.label), value: figure, limit: w.allowed(limitsOf(declared, site, metric), of.unit, verdict) });
}

export function cure(w, declared, site) {
  const { verdict, metric, failure } = site.shown;
  if (verdict !== "fair" && verdict !== "poor") return "";
  return w.of((declared.failures[failure] ?? declared.metrics[metric])?.advice);
}

/** Which stretch of the way the centre accuses; none where it does not know. */
export function segmentOf(site) {
  return site.segment && site.segment !== "unknown" ? site.segment : null;
}

export function segment(w, site) {
  const at = segmentOf(site);
  return at && w.t("segment.at", { segment: w.t(`segment.${at}`).toLowerCase() });
}
