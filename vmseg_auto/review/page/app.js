// The page: asks the server for cases, holds what is drawn, stores drafts and saves decisions.
import { Mask } from "/static/mask.js";
import { SliceView } from "/static/view.js";

const AUTOSAVE_MS = 3000;
const IDLE_MS = 60_000;
const TOOLS = { v: "move", b: "brush", e: "erase", i: "like", l: "lasso", k: "cut", d: "drop", c: "hint", g: "unhint" };
const get = (id) => document.getElementById(id);

// The token of the link goes into this tab's memory, and out of the address bar and its history.
const token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", "/");

class Refused extends Error {
  constructor(status, problem, asksVisits = false) {
    super(problem);
    Object.assign(this, { status, asksVisits });
  }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { "x-vmseg-token": token } });
  } catch {
    throw new Refused(0, "The server does not answer: vmseg_review has ended. Start it again, and load its new page; the latest draft is kept.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ problem: `The server answered ${answer.status}.` }));
  throw new Refused(answer.status, told.problem, told.asks_visits);
}

const voxels = async (path) => new Uint8Array(await (await ask(path)).arrayBuffer());

function framed(told, mask) {
  const text = new TextEncoder().encode(JSON.stringify(told));
  const body = new Uint8Array(4 + text.length + mask.length);
  new DataView(body.buffer).setUint32(0, text.length, true);
  body.set(text, 4);
  body.set(mask, 4 + text.length);
  return body;
}

function unframed(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, size));
  return [JSON.parse(text), new Uint8Array(buffer, 4 + size)];
}

const clock = (when) => when.slice(0, 16).replace("T", " ");
const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

const page = {
  cases: [],
  key: null,
  about: null,
  scan: null,
  mask: null,
  predicted: null,
  shape: null,
  spacing: null,
  cursor: [0, 0, 0],
  window: [0, 1],
  colours: [],
  tool: "move",
  radius: 3,
  opacity: 0.3,
  maskShown: true,
  predictionShown: false,
  mapShown: false,
  map: null,
  overlayOpacity: 0.6,
  views: [],
  draft: 0,
  stored: { revision: 0, comment: "" },
  storing: null,
  blocked: false,
  seconds: 0,
  active: 0,

  get brushing() {
    return ["brush", "erase", "like"].includes(this.tool);
  },

  get hinting() {
    return ["hint", "unhint"].includes(this.tool);
  },

  // Whether a stroke has begun and not ended.
  get drawing() {
    return Boolean(this.mask && this.mask.edit);
  },

  // The second outline that is drawn.
  get outline() {
    return this.predictionShown ? this.predicted : null;
  },

  // The map that is laid over the scan.
  get overlay() {
    return this.mapShown ? this.map : null;
  },

  get value() {
    return Number(get("label").value);
  },

  // The window in the scan's steps of 16 bits.
  steps() {
    const { low, high } = this.about;
    return this.window.map((value) => ((value - low) / (high - low)) * 65535);
  },

  intensity(at) {
    const { low, high } = this.about;
    return low + (this.scan[at] / 65535) * (high - low);
  },

  redraw() {
    for (const view of this.views) view.later();
  },

  moveTo(axis, index) {
    this.cursor[axis] = Math.min(this.shape[axis] - 1, Math.max(0, index));
    this.tellPosition();
    this.redraw();
  },

  goTo(point) {
    point.forEach((index, axis) => this.moveTo(axis, index));
  },

  positionInWords() {
    const at = this.mask.at(this.cursor);
    const [z, y, x] = this.cursor;
    const m = this.about.affine;
    const mm = [0, 4, 8].map((row) => m[row] * x + m[row + 1] * y + m[row + 2] * z + m[row + 3]);
    const sides = [["R", "L"], ["A", "P"], ["I", "S"]].map((pair, i) => `${pair[Number(mm[i] >= 0)]} ${Math.abs(mm[i]).toFixed(1)}`);
    const label = this.about.labels.find((one) => one.value === this.mask.data[at]);
    const mapped = this.overlay ? `; ${get("map").selectedOptions[0].text} ${(this.overlay[at] / 255).toFixed(2)}` : "";
    return `${sides.join(", ")} mm; intensity ${Number(this.intensity(at).toPrecision(4))}; ${label ? label.name : "no label"}${mapped}`;
  },

  tellPosition() {
    get("position").textContent = `${this.positionInWords()}; window ${this.window.map((v) => Number(v.toPrecision(3))).join(" to ")}`;
  },

  dragWindow([low, high], right, down) {
    const width = Math.max((this.about.high - this.about.low) / 1000, (high - low) * Math.exp(-right / 250));
    const middle = (low + high) / 2 + (down / 400) * (high - low);
    this.window = [middle - width / 2, middle + width / 2];
    this.tellPosition();
    this.redraw();
  },

  // ---- drawing ----

  brush(view, from, to, first = false) {
    if (first) {
      this.mask.begin();
      const start = to.map((value, axis) => Math.min(this.shape[axis] - 1, Math.max(0, Math.round(value))));
      const reach = (Number(get("like").value) / 100) * this.likeRange;
      const level = this.scan[this.mask.at(start)];
      this.takes = this.tool === "like" ? (at) => Math.abs(this.scan[at] - level) <= reach : () => true;
    }
    if (!this.mask.edit) return;
    const axis = get("three").checked ? null : view.slices;
    this.mask.brush(from, to, this.radius, this.tool === "erase" ? 0 : this.value, axis, this.takes);
    this.tellVolumes();
    view.later();
  },

  endEdit() {
    if (this.drawing) this.mask.end();
    this.changed();
  },

  fill(view, points) {
    this.mask.begin();
    this.mask.fill(points, view.axes, this.tool === "cut" ? 0 : this.value);
    this.endEdit();
  },

  drop(point) {
    if (!this.mask.holds(point)) return;
    this.mask.begin();
    for (const at of this.mask.component(point)) this.mask.set(at, 0);
    this.endEdit();
  },

  // Ask the model again with one more click, and take what it changes as one edit.
  async hint(point) {
    if (!this.mask.holds(point) || this.asking) return;
    const { key, mask } = this;
    const click = [...point, this.tool === "hint"];
    const clicks = [...mask.clicks, click];
    this.asking = true;
    get("hinted").textContent = "The model is being asked.";
    try {
      const sent = { method: "POST", body: JSON.stringify({ clicks }) };
      const [{ box, label }, change] = unframed(await (await ask(`/api/cases/${key}/click`, sent)).arrayBuffer());
      if (this.mask !== mask) return;
      const count = mask.apply(box, change, label, click);
      get("hinted").textContent = `${count} voxels changed by the click.`;
      this.changed();
    } catch (error) {
      if (this.mask === mask) get("hinted").textContent = "";
      this.told(error);
    } finally {
      this.asking = false;
    }
  },

  between() {
    const view = this.views.find((one) => one.canvas === document.activeElement) || this.views[0];
    this.mask.begin();
    this.mask.interpolate(view.axes, this.value);
    this.endEdit();
  },

  changed() {
    this.tellVolumes();
    this.redraw();
  },

  // ---- figures and buttons ----

  tellVolumes() {
    const { mask, about } = this;
    const voxel = about.spacing_mm.reduce((product, mm) => product * mm, 1) / 1000;
    get("volumes").replaceChildren(
      ...about.labels.map(({ name, value }) => {
        const [own, before] = [mask.counts[value] * voxel, this.referenceCounts && this.referenceCounts[value] * voxel];
        const against = before === null ? "not known" : `${own - before < 0 ? "−" : "+"}${Math.abs(own - before).toFixed(2)}`;
        const row = document.createElement("tr");
        row.append(...[name, own.toFixed(2), against].map((text) => {
          const cell = document.createElement("td");
          cell.textContent = text;
          return cell;
        }));
        return row;
      }),
    );
    get("changed").textContent = mask.reference ? `${mask.fromReference} voxels differ from ${about.reference_name}.` : "";
    get("undo").disabled = !mask.done.length;
    get("redo").disabled = !mask.undone.length;
    get("stands").disabled = mask.asItStands;
    get("again").disabled = !this.predicted || (mask.reference === this.predicted && mask.asReference);
    this.tellDecisions();
  },

  tellDecisions() {
    const { mask, about } = this;
    const may = { accepted: mask.asItStands || mask.asReference, corrected: !mask.asReference };
    for (const button of get("decisions").children) {
      button.disabled = this.saving || may[button.value] === false || !about.decisions.includes(button.value);
    }
  },

  message(text, choices = []) {
    get("message").hidden = !text;
    get("message").querySelector("p").textContent = text;
    get("message").querySelector(".choices").replaceChildren(
      ...choices.map(([words, act]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = words;
        button.onclick = act;
        return button;
      }),
    );
  },

  // ---- the queue ----

  async loadQueue() {
    const told = await (await ask("/api/queue")).json();
    this.cases = told.cases;
    if (!get("reader").value) get("reader").value = told.reader || sessionStorage.getItem("reader") || "";
    if (told.only_reader) Object.assign(get("reader"), { value: told.only_reader, readOnly: true });
    this.tellQueue();
  },

  tellQueue() {
    const usable = this.cases.filter((one) => !one.problem);
    const done = usable.filter((one) => one.state !== "to do").length;
    const broken = this.cases.length - usable.length;
    get("progress").textContent = `${done} of ${usable.length} cases done${broken ? `; ${broken} can't be opened` : ""}`;
    const wanted = get("filter").value;
    get("queue").replaceChildren(
      ...this.cases.flatMap((one, key) => {
        if (wanted && one.state !== wanted) return [];
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.disabled = Boolean(one.problem);
        button.dataset.key = key;
        if (key === this.key) button.setAttribute("aria-current", "true");
        button.append(one.case, Object.assign(document.createElement("small"), { textContent: this.describe(one) }));
        button.onclick = () => this.open(key);
        item.append(button);
        return [item];
      }),
    );
  },

  describe(one) {
    if (one.problem) return one.problem;
    const volume = one.volumes_ml && `${Object.values(one.volumes_ml).reduce((sum, ml) => sum + ml, 0).toFixed(2)} mL`;
    const who = one.when ? ` by ${one.reader}, ${clock(one.when)}` : "";
    return [`${one.state}${who}`, volume, one.hint].filter(Boolean).join("; ");
  },

  // ---- a case ----

  async open(key, anew = false) {
    try {
      if (!anew) await this.store();
      await this.load(key);
    } catch (error) {
      this.told(error);
    }
  },

  // Fetch all of a case, and only then show it: of two cases asked for, the one asked for last.
  async load(key) {
    const at = `/api/cases/${key}`;
    const wanted = (this.wanted = {});
    this.message("");
    get("welcome").hidden = false;
    get("welcome").textContent = "Loading the scan.";
    const about = await (await ask(at)).json();
    const scan = new Uint16Array(await (await ask(`${at}/scan`)).arrayBuffer());
    const base = await voxels(`${at}/mask`);
    const predicted = about.has_prediction ? await voxels(`${at}/predicted`) : null;
    const apart = about.reference === "reference" ? await voxels(`${at}/reference`) : null;
    const draft = await this.fetchDraft(at);
    if (this.wanted !== wanted) return;
    const reference = { mask: base, predicted, reference: apart }[about.reference] ?? null;
    const mask = new Mask(about.shape, about.spacing_mm, base, reference);
    Object.assign(this, { key, about, scan, mask, predicted, shape: about.shape, spacing: about.spacing_mm, window: [...about.window] });
    this.referenceCounts = reference && Mask.count(reference);
    this.likeRange = ((about.window[1] - about.window[0]) / (about.high - about.low)) * 65535;
    this.colours = [];
    for (const { value, colour } of about.labels) this.colours[value] = rgb(colour);
    Object.assign(this, { draft: 0, blocked: false, saving: false, seconds: 0 });
    get("hinted").textContent = "";
    for (const label of document.querySelectorAll("label.hint")) label.hidden = !about.clicks;
    if (!about.clicks && this.hinting) this.choose("move");
    get("label").replaceChildren(...about.labels.map(({ name, value }) => new Option(name, value)));
    get("comment").value = about.review ? about.review.comment : "";
    get("draft").textContent = "";
    get("welcome").hidden = true;
    get("work").hidden = get("verdict").hidden = false;
    get("add").hidden = !about.may_be_added;
    get("map").replaceChildren(...about.overlays.map((name, number) => new Option(name, number)));
    get("maps").hidden = !about.overlays.length;
    get("second").hidden = !predicted;
    this.map = null;
    this.closeSolid();
    this.cursor = this.middleOfMask();
    if (about.start !== null) this.cursor[0] = about.start;
    if (draft instanceof Error) this.told(draft);
    else if (draft) this.restore(...draft);
    this.stored = { revision: this.mask.revision, comment: get("comment").value };
    get("name").textContent = about.case;
    get("notes").textContent = this.notes();
    get("against").textContent = about.reference ? `Volumes, and their change against ${about.reference_name}` : "Volumes";
    this.views.forEach((view, i) => view.show(about.planes[i]));
    if (this.mapShown) await this.loadMap();
    this.tellQueue();
    this.tellPosition();
    this.changed();
  },

  // Fetch the chosen map of this case, where it has one.
  async loadMap() {
    const number = get("map").value;
    if (number === "") return;
    const { key } = this;
    const map = await voxels(`/api/cases/${key}/overlays/${number}`);
    if (this.key !== key || get("map").value !== number) return;
    this.map = map;
    this.tellPosition();
    this.redraw();
  },

  showMap(shown) {
    this.mapShown = shown;
    this.redraw();
    if (!this.mask) return;
    this.tellPosition();
    if (shown && !this.map) this.loadMap().catch((error) => this.told(error));
  },

  notes() {
    const { review, notes } = this.about;
    const decided = review ? `Last decision: ${review.decision}, by ${review.reader}, ${clock(review.when)}.` : "Nobody has decided on this mask yet.";
    return [decided, ...notes].join(" ");
  },

  middleOfMask() {
    const sums = [0, 0, 0];
    let count = 0;
    this.mask.data.forEach((value, at) => {
      if (!value) return;
      count += 1;
      const rest = at % this.mask.strides[0];
      sums[0] += (at - rest) / this.mask.strides[0];
      sums[1] += Math.floor(rest / this.shape[2]);
      sums[2] += rest % this.shape[2];
    });
    return this.shape.map((size, axis) => (count ? Math.round(sums[axis] / count) : Math.floor(size / 2)));
  },

  // The draft of a case, with its note; null where there is none, and what went wrong where it can't be read.
  async fetchDraft(at) {
    try {
      const answer = await ask(`${at}/draft`);
      return answer.status === 204 ? null : unframed(await answer.arrayBuffer());
    } catch (error) {
      return error;
    }
  },

  restore(note, drawn) {
    this.mask.replace(drawn);
    Object.assign(this, { draft: note.number, seconds: note.minutes * 60 });
    get("comment").value = note.comment;
    const other = note.of_this_mask ? "" : " It was begun on another mask than the one that stands now.";
    get("draft").textContent = `The draft of ${clock(note.when)}${note.reader ? ` by ${note.reader}` : ""} is restored.${other}`;
  },

  sent() {
    const [reader, comment] = [get("reader").value, get("comment").value];
    const { version, base } = this.about;
    return { reader, comment, version, base, draft: this.draft, minutes: this.seconds / 60 };
  },

  get unstored() {
    return this.mask && (this.mask.revision !== this.stored.revision || get("comment").value !== this.stored.comment);
  },

  // Store the draft, if there is anything new in it; one at a time.
  async store(takeOver = false) {
    while (this.storing) await this.storing;
    if (!this.mask || this.mask.edit || this.saving || (this.blocked && !takeOver) || !(this.unstored || takeOver)) return;
    const now = { revision: this.mask.revision, comment: get("comment").value };
    this.storing = (async () => {
      try {
        const body = framed({ ...this.sent(), take_over: takeOver }, this.mask.data);
        const told = await (await ask(`/api/cases/${this.key}/draft`, { method: "PUT", body })).json();
        Object.assign(this, { draft: told.draft, stored: now, blocked: false });
        get("draft").textContent = `Draft stored at ${told.when.slice(11, 19)}.`;
      } catch (error) {
        if (error.status !== 409) throw error;
        this.blocked = true;
        this.message(error.message, [
          ["Load what was drawn there", () => this.open(this.key, true)],
          ["Go on with mine", () => this.message("") || this.store(true).catch((again) => this.told(again))],
        ]);
      }
    })();
    try {
      await this.storing;
    } finally {
      this.storing = null;
    }
  },

  async decide(decision) {
    if (!get("reader").value.trim()) {
      this.message("Write your name or sign into the field Reader first.");
      get("reader").focus();
      return;
    }
    try {
      await this.store(); // a rejected or unsure mask is not saved: what was drawn stays as the draft
    } catch (error) {
      this.told(error);
      return;
    }
    this.saving = true;
    this.tellDecisions();
    try {
      const body = framed({ ...this.sent(), decision }, this.mask.data);
      const told = await (await ask(`/api/cases/${this.key}/decision`, { method: "POST", body })).json();
      const [key, name, saved] = [this.key, this.about.case, told.may_be_added];
      this.cases[key] = told.entry;
      this.mask = null;
      await this.next();
      if (saved) this.message(`${name} is saved as ${decision}.`, [[`Add ${name} to the dataset`, () => this.add(key)]]);
    } catch (error) {
      this.saving = false;
      if (this.mask) this.tellDecisions();
      this.told(error, error.status === 409 ? [["Load the case again", () => this.open(this.key, true)]] : []);
    }
  },

  // Put a case into the dataset; where its patient may be there, the reader says whether it is so.
  async add(key, visits = "unknown") {
    this.message("Adding the case to the dataset.");
    try {
      const { told } = await (await ask(`/api/cases/${key}/add/${visits}`, { method: "POST" })).json();
      if (key === this.key) get("add").hidden = true;
      this.message(told);
    } catch (error) {
      const choices = [["It is the same patient", () => this.add(key, "join")], ["It is another patient", () => this.add(key, "apart")]];
      this.told(error, error.asksVisits ? choices : []);
    }
  },

  // The first case after this one that is to do; this one again, as it is now, where there is none.
  async next() {
    const order = [...this.cases.keys()].map((step) => (this.key + 1 + step) % this.cases.length);
    const key = order.find((one) => this.cases[one].state === "to do") ?? this.key;
    await this.load(key);
    if (this.cases.every((one) => one.state !== "to do")) this.message("All cases are done.");
  },

  told(error, choices = []) {
    if (!(error instanceof Refused)) throw error;
    if (!this.mask) get("welcome").textContent = "Choose a case.";
    this.message(error.message, choices);
  },

  // ---- 3-D, by NiiVue ----

  nifti(data) {
    const header = new ArrayBuffer(352);
    const view = new DataView(header);
    view.setInt32(0, 348, true);
    [3, ...[...this.shape].reverse(), 1, 1, 1, 1].forEach((size, i) => view.setInt16(40 + 2 * i, size, true));
    view.setInt16(70, 2, true); // unsigned 8 bits
    view.setInt16(72, 8, true);
    [1, ...[...this.spacing].reverse()].forEach((mm, i) => view.setFloat32(76 + 4 * i, mm, true));
    view.setFloat32(108, 352, true);
    view.setFloat32(112, 1, true);
    view.setInt16(254, 1, true);
    this.about.affine.slice(0, 12).forEach((value, i) => view.setFloat32(280 + 4 * i, i < 8 ? -value : value, true));
    view.setUint32(344, 0x0031_2b6e, true);
    const file = new Uint8Array(352 + data.byteLength);
    file.set(new Uint8Array(header));
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 352);
    return file.buffer;
  },

  async openSolid() {
    if (!get("render").hidden) {
      this.closeSolid();
      return;
    }
    if (!window.niivue) {
      await new Promise((loaded, failed) => {
        const script = document.createElement("script");
        Object.assign(script, { src: "/static/niivue.js", onload: loaded, onerror: failed });
        document.head.append(script);
      });
    }
    get("render").hidden = false;
    get("planes").classList.add("solid");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "The mask in 3-D, as it was when this was opened");
    get("render").replaceChildren(canvas);
    const solid = new window.niivue.Niivue({ backColor: [0, 0, 0, 1], loadingText: "", logLevel: "error", dragAndDropEnabled: false, show3Dcrosshair: true });
    await solid.attachToCanvas(canvas);
    const grey = Uint8Array.from(this.scan, (step) => step >> 8);
    await solid.loadFromArrayBuffer(this.nifti(grey), "scan.nii");
    await solid.loadFromArrayBuffer(this.nifti(this.mask.data), "mask.nii");
    const colours = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const { name, value } of this.about.labels) {
      const [red, green, blue] = this.colours[value];
      [["R", red], ["G", green], ["B", blue], ["A", 255], ["I", value], ["labels", name]].forEach(([part, one]) => colours[part].push(one));
    }
    solid.volumes[1].setColormapLabel(colours);
    solid.setOpacity(0, 0.15);
    solid.setSliceType(solid.sliceTypeRender);
    canvas.dataset.drawn = "yes";
  },

  closeSolid() {
    get("render").hidden = true;
    get("planes").classList.remove("solid");
    get("render").replaceChildren();
  },

  // ---- controls ----

  choose(tool) {
    this.tool = tool;
    document.querySelector(`input[name=tool][value=${tool}]`).checked = true;
    for (const view of this.views) view.line = [];
    this.redraw();
  },

  listen() {
    const act = (id, doing) => get(id).addEventListener("click", () => this.mask && doing());
    const undo = () => this.mask.undo() && this.changed();
    const redo = () => this.mask.redo() && this.changed();
    act("undo", undo);
    act("redo", redo);
    act("between", () => this.between());
    act("stands", () => this.mask.replace(this.mask.base) && this.changed());
    act("again", () => this.mask.replace(this.predicted) && this.changed());
    act("fit", () => this.views.forEach((view) => view.fit()));
    act("solid", () => this.openSolid());
    get("tool").addEventListener("change", (event) => this.choose(event.target.value));
    get("radius").addEventListener("input", (event) => this.size(Number(event.target.value), false));
    get("shown").addEventListener("change", (event) => {
      this.maskShown = event.target.checked;
      this.redraw();
    });
    get("opacity").addEventListener("input", (event) => {
      this.opacity = Number(event.target.value);
      this.redraw();
    });
    get("predicted").addEventListener("change", (event) => {
      this.predictionShown = event.target.checked;
      this.redraw();
    });
    get("mapped").addEventListener("change", (event) => this.showMap(event.target.checked));
    get("map").addEventListener("change", () => {
      this.map = null;
      this.showMap(this.mapShown);
    });
    get("map-opacity").addEventListener("input", (event) => {
      this.overlayOpacity = Number(event.target.value);
      this.redraw();
    });
    get("filter").addEventListener("change", () => this.tellQueue());
    get("reader").addEventListener("change", (event) => sessionStorage.setItem("reader", event.target.value));
    get("decisions").addEventListener("click", (event) => event.target.value && this.decide(event.target.value));
    get("add").addEventListener("click", () => this.add(this.key));
    get("end").addEventListener("click", () => this.end());
    const keys = {
      "[": () => this.size(this.radius - 0.5),
      "]": () => this.size(this.radius + 0.5),
      x: () => get("three").click(),
      m: () => get("shown").click(),
      p: () => get("second").hidden || get("predicted").click(),
      u: () => get("maps").hidden || get("mapped").click(),
      f: () => this.between(),
      n: () => this.open([...this.cases.keys()].find((key) => key > this.key && !this.cases[key].problem) ?? this.key),
    };
    document.addEventListener("keydown", (event) => {
      this.active = Date.now();
      if (!this.mask || event.altKey || event.target.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=range])")) return;
      const key = event.key.toLowerCase();
      if (event.ctrlKey || event.metaKey) {
        if (key === "z") event.shiftKey ? redo() : undo();
        else if (key === "y") redo();
        else return;
      } else if (key in TOOLS && (this.about.clicks || !["c", "g"].includes(key))) {
        this.choose(TOOLS[key]);
      } else if (key in keys) {
        keys[key]();
      } else {
        return;
      }
      event.preventDefault();
    });
    for (const kind of ["pointermove", "pointerdown", "wheel"]) document.addEventListener(kind, () => (this.active = Date.now()), { passive: true });
    window.addEventListener("beforeunload", (event) => this.unstored && event.preventDefault());
    document.addEventListener("visibilitychange", () => document.hidden && this.autosave());
    setInterval(() => this.autosave(), AUTOSAVE_MS);
    setInterval(() => {
      if (this.mask && !document.hidden && Date.now() - this.active < IDLE_MS) this.seconds += 1;
    }, 1000);
  },

  size(radius, write = true) {
    if (!(radius >= 0.5 && radius <= 50)) return;
    this.radius = radius;
    if (write) get("radius").value = radius;
    this.redraw();
  },

  autosave() {
    if (!this.storing) this.store().catch((error) => this.told(error));
  },

  async end() {
    try {
      await this.store();
      await ask("/api/end", { method: "POST" });
      this.mask = null;
      get("work").hidden = get("verdict").hidden = true;
      get("welcome").hidden = false;
      get("welcome").textContent = "The review has ended. This window can be closed.";
      get("end").disabled = true;
      this.message("");
    } catch (error) {
      this.told(error);
    }
  },
};

page.views = [...document.querySelectorAll("#planes figure:not(#render)")].map((figure) => new SliceView(figure, page));
page.listen();
page.loadQueue().catch((error) => page.told(error));
window.review = page;
