// Shows the events of the server: the latest message of each topic. HTML in messages comes from the
// report's templates, which escape every text.

function number(value) {
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "\u2212");
}

function put(id, html) {
  const place = document.getElementById(id);
  if (place.innerHTML !== html) place.innerHTML = html;
}

function words(id, text) {
  document.getElementById(id).textContent = text;
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

let ended = null;

function showNow(now) {
  ended = now.ended;
  words("stage", now.ended ? `The run ${now.ended}.` : now.stage || "waiting for the run");
  words("count", !now.ended && now.total ? `${now.done} of ${now.total}` : "");
  const bar = document.getElementById("progress");
  bar.value = now.ended ? 1 : now.total ? now.done / now.total : 0;
}

function showRun(run) {
  words("title", run.title);
  words("sub", run.sub);
  document.title = `${run.title} · ddpo`;
  put("head", run.head);
  put("images", run.images);
  put("training", run.training);
}

function pixels(image) {
  image.addEventListener("load", () => image.classList.toggle("pixels", image.naturalWidth < 128));
  return image;
}

const slots = [];

function emptySlot() {
  const whole = element("figure", "slot");
  const frame = element("div", "frame");
  const image = pixels(element("img"));
  image.alt = "";
  image.hidden = true;
  frame.append(image);
  const steps = element("div", "steps");
  const bar = element("div");
  steps.append(bar);
  const first = element("div", "line first");
  const [name, reward] = [element("span", "", "no trajectory yet"), element("span", "reward")];
  first.append(name, reward);
  const second = element("div", "line");
  whole.append(frame, steps, first, second);
  document.getElementById("playback").append(whole);
  return { image, bar, name, reward, second };
}

function showTrajectory(at, shot) {
  const { image, bar, name, reward, second } = slots[at];
  image.src = shot.picture;
  image.alt = `${shot.name}, step ${shot.done} of ${shot.steps}`;
  image.hidden = false;
  bar.style.width = `${(100 * shot.done) / Math.max(1, shot.steps)}%`;
  name.textContent = shot.reward === null ? `step ${shot.done} of ${shot.steps}` : "reward";
  reward.textContent = shot.reward === null ? "" : number(shot.reward);
  second.textContent = `${shot.name} · ${shot.worker}`;
  second.title = `${shot.worker}, policy version ${shot.version}`;
}

function showSamples({ epoch, version, samples }) {
  words("samples-note", `Epoch ${epoch}, drawn with policy version ${version}; below each its reward.`);
  const figures = samples.map((one) => {
    const figure = element("figure");
    const image = pixels(element("img"));
    image.alt = `sample ${one.sample}`;
    image.src = one.picture;
    const caption = element("figcaption");
    caption.append(element("span", "", `#${one.sample}`), element("span", "", number(one.reward)));
    figure.append(image, caption);
    return figure;
  });
  document.getElementById("samples").replaceChildren(...figures);
}

function showFleet(members) {
  const known = (value) => (value === null ? "\u2013" : String(value));
  const rows = members.map((one) => {
    const row = element("tr");
    const cells = [one.role, one.name, one.doing, known(one.version), known(one.lag), known(one.in_flight)];
    row.append(...cells.map((text) => element("td", "", text)));
    if (!one.well) row.children[2].className = "late";
    return row;
  });
  document.getElementById("members").replaceChildren(...rows);
}

function link(state, text) {
  const shown = document.getElementById("link");
  shown.className = `link ${state}`;
  shown.textContent = text;
}

function watch() {
  let events = null;
  let again = null;
  const on = (topic, show) => events.addEventListener(topic, (event) => show(JSON.parse(event.data)));
  const stop = () => {
    clearTimeout(again);
    if (events) events.close();
    events = null;
  };
  const start = () => {
    stop();
    events = new EventSource("events");
    events.addEventListener("open", () => link("live", "live"));
    events.addEventListener("error", () => {
      link("lost", ended ? "ended" : "connecting again");
      // Browsers do not retry after an error status, such as for too many viewers.
      if (events.readyState === EventSource.CLOSED) again = setTimeout(start, 5000);
    });
    on("now", showNow);
    on("run", showRun);
    on("samples", showSamples);
    on("fleet", showFleet);
    slots.forEach((_, at) => on(`playback-${at}`, (shot) => showTrajectory(at, shot)));
  };
  // A hidden page receives no events.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      link("", "paused");
    } else {
      start();
    }
  });
  start();
}

for (let at = 0; at < 4; at += 1) slots.push(emptySlot());
watch();
