"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    window.dispatchEvent(new Event("themechange"));
  });
  const links = new Map([...document.querySelectorAll("nav ol a")].map((a) => [a.hash.slice(1), a]));
  const visible = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const e of entries) visible[e.isIntersecting ? "add" : "delete"](e.target.id);
    let first = true;
    for (const [id, a] of links) {
      const on = first && visible.has(id);
      if (on) first = false;
      a.setAttribute("aria-current", on ? "true" : "false");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));
})();
