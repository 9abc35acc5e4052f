// Theme, tooltips, and the slider over checkpoints. Makes no requests: pictures and numbers are in
// the page.
"use strict";

function read(id) {
  const found = document.getElementById(id);
  return found ? JSON.parse(found.textContent) : null;
}

function theme() {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  // Storage can be blocked, for example for local files; then the system's theme applies.
  try {
    const kept = localStorage.getItem("ddpo-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch (refused) { /* The theme is not remembered. */ }
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("ddpo-theme", root.dataset.theme); } catch (refused) { /* The theme is not remembered. */ }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

function hints() {
  const tip = document.getElementById("tip");
  const pictures = read("pictures-data") || [];
  let shown = null;
  const hide = () => { tip.style.display = "none"; shown = null; };
  const place = (event) => {
    const gap = 14;
    const { offsetWidth: wide, offsetHeight: high } = tip;
    const left = event.clientX + gap + wide > innerWidth ? event.clientX - gap - wide : event.clientX + gap;
    const top = event.clientY + gap + high > innerHeight ? event.clientY - gap - high : event.clientY + gap;
    tip.style.left = `${Math.min(Math.max(4, left), Math.max(4, innerWidth - wide - 4))}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  };
  const show = (event) => {
    const target = event.target.closest ? event.target.closest("[data-hint]") : null;
    if (!target) return hide();
    if (target !== shown) {
      tip.replaceChildren();
      const at = target.dataset.picture;
      if (at !== undefined && pictures[at]) {
        const image = document.createElement("img");
        image.alt = "";
        image.src = pictures[at];
        tip.append(image);
      }
      tip.append(target.dataset.hint);
      tip.style.display = "block";
      shown = target;
    }
    place(event);
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

function strip() {
  const seeds = read("strip-data");
  if (!seeds) return;
  const picture = document.getElementById("strip-picture");
  const slider = document.getElementById("strip-slider");
  const output = document.getElementById("strip-output");
  const play = document.getElementById("strip-play");
  const buttons = [...document.querySelectorAll(".seeds button")];
  let seed = 0;
  let timer = null;
  const show = () => {
    const frame = seeds[seed].frames[slider.value];
    picture.src = frame.picture;
    picture.alt = `${seeds[seed].name}, ${frame.name}`;
    output.textContent = `${seeds[seed].name} · ${frame.name} · reward ${frame.reward}`;
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === seed)));
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  slider.addEventListener("input", () => { stop(); show(); });
  buttons.forEach((button, at) => button.addEventListener("click", () => { seed = at; show(); }));
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % seeds[seed].frames.length;
      show();
    }, 700);
  });
  show();
}

theme();
hints();
strip();
