// Before the first paint: the theme and language chosen on this screen; without a choice, those of the system and Vietnamese.
const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const asked = new URLSearchParams(location.search);
const theme = asked.get("theme") ?? kept("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.theme = theme === "dark" ? "dark" : "light";
document.documentElement.lang = (asked.get("lang") ?? kept("lang")) === "en" ? "en" : "vi";
