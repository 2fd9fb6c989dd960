"use strict";
// Filters, search, folding and the choice of light or dark. The page can be read without any of it.
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const root = document.documentElement;

  // Files opened from a disk may have no storage.
  const remember = (value) => { try { localStorage.setItem("reconciler-theme", value); } catch { /* not kept */ } };
  const remembered = () => { try { return localStorage.getItem("reconciler-theme"); } catch { return null; } };
  const theme = byId("theme");
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const named = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  const before = remembered();
  if (before === "light" || before === "dark") root.dataset.theme = before;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    named();
  });
  systemDark.addEventListener("change", named);
  theme.hidden = false;
  named();

  const filters = byId("filters");
  const open = (target) => {
    const covers = filters && getComputedStyle(filters).position === "sticky";
    root.style.scrollPaddingTop = `${(covers ? filters.offsetHeight : 0) + 8}px`;
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    const inside = target.querySelector(":scope > details");
    if (inside) inside.open = true;
    const summary = target.querySelector("summary");
    (summary || target).focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
  };
  const follow = () => {
    const target = location.hash.length > 1 && byId(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) reset();
    open(target);
  };

  const entries = all(".entry").map((element) => ({
    element,
    status: element.dataset.status,
    kind: element.dataset.kind,
    risks: element.dataset.risks.split(" "),
    text: null,
  }));
  const boxes = new Map();
  for (const box of all(".drawing a.node")) boxes.set(box.getAttribute("href"), box);

  const show = () => {
    const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("kind").value;
    const risk = byId("risk").value;
    const statuses = new Set(all("#filters input[name=status]:checked").map((one) => one.value));
    const seen = new Map();
    let shown = 0;
    for (const entry of entries) {
      if (words.length && entry.text === null) entry.text = entry.element.textContent.toLowerCase();
      const fits = statuses.has(entry.status) && (!kind || entry.kind === kind)
        && (!risk || entry.risks.includes(risk)) && words.every((word) => entry.text.includes(word));
      entry.element.hidden = !fits;
      shown += fits;
      seen.set("#" + entry.element.id, fits);
    }
    for (const [target, box] of boxes) box.classList.toggle("dim", seen.get(target) === false);
    byId("counted").textContent = `${shown.toLocaleString("en")} of ${entries.length.toLocaleString("en")} shown`;
  };
  const reset = () => {
    filters.reset();
    show();
  };
  const fold = (isOpen) => {
    for (const entry of entries) if (!entry.element.hidden) entry.element.firstElementChild.open = isOpen;
  };

  if (filters) {
    filters.hidden = false;
    filters.addEventListener("input", show);
    filters.addEventListener("submit", (event) => event.preventDefault());
    byId("expand").addEventListener("click", () => fold(true));
    byId("collapse").addEventListener("click", () => fold(false));
    document.addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        byId("find").focus();
      } else if (event.key === "Escape" && event.target === byId("find")) {
        reset();
      }
    });
    show();
  }
  addEventListener("hashchange", follow);
  for (const box of boxes.values()) {
    box.addEventListener("click", () => { if (location.hash === box.getAttribute("href")) follow(); });
  }
  follow();
})();
