// The start page: shows how all steps stand, asks for what a command needs, and shows what the command says.

const POLL_MS = 2000;
const QUIET_POLL_MS = 8000;
const TYPED_MS = 250;
const STATES = { done: "done", ready: "to do", waiting: "waits for an earlier step", running: "runs" };
const get = (id) => document.getElementById(id);

// The token of the link goes into this tab's memory, and out of the address bar and its history.
const token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", "/");

async function ask(path, told) {
  const options = { headers: { "x-vmseg-token": token } };
  if (told !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(told) });
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The page's server does not answer: vmseg_review has ended. Jobs go on. Start vmseg_review again, and open its new link.");
  }
  const said = await answer.json().catch(() => ({ problem: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(said.problem);
  return said;
}

// An element with properties and children; `class` and attributes with a dash go by their names.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const clock = (when) => when.slice(0, 16).replace("T", " ");
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function message(text) {
  get("message").hidden = !text;
  get("message").textContent = text;
}

const told = (error) => message(error.message);

// ---- one step ----

class StepView {
  constructor(name) {
    this.name = name;
    this.answers = {};
    this.shown = {};
    const id = `step-${name}`;
    this.title = make("h2", { id: `${id}-title`, tabIndex: -1 });
    this.words = make("p");
    this.told = make("p", { className: "told" });
    this.fields = make("div", { className: "fields" });
    this.further = make("details", {}, make("summary", { textContent: "More settings" }), make("div", { className: "fields" }));
    this.command = make("code", { tabIndex: 0 });
    this.copy = make("button", { type: "button", textContent: "Copy", onclick: () => this.copyCommand() });
    this.copy.setAttribute("aria-label", "Copy the command");
    this.run = make("button", { type: "button", className: "main", onclick: () => this.start() });
    this.asking = make("div", {}, this.fields, this.further, make("div", { className: "command" }, this.command, this.copy), make("div", { className: "actions" }, this.run));
    this.charts = make("div", { className: "charts" });
    this.job = this.makeJob();
    this.reports = make("div", { className: "actions" });
    this.element = make("section", { id, "aria-labelledby": `${id}-title` }, this.title, this.words, this.told, this.asking, this.job, this.charts, this.reports);
    this.element.addEventListener("input", (event) => this.answered(event));
    this.item = make("a", { href: `#${id}`, onclick: (event) => this.goTo(event) });
    get("steps").append(this.element);
    get("list").append(make("li", {}, this.item));
  }

  makeJob() {
    this.jobWords = make("p");
    this.jobCommand = make("code");
    this.link = make("a", { target: "_blank", rel: "noopener noreferrer", textContent: "Open the page for readers" });
    this.confirm = make("button", { type: "button", className: "main", textContent: "The pairs are right: write the dataset", onclick: () => this.act("confirm") });
    this.again = make("button", { type: "button", textContent: "Go on with the same command", onclick: () => this.act("again") });
    this.stop = make("button", { type: "button", textContent: "Stop", onclick: () => this.act("stop") });
    this.log = make("pre", { tabIndex: 0, role: "region" });
    this.saying = make("details", { ontoggle: () => this.loadLog() }, make("summary", { textContent: "What it says" }), this.log);
    return make("div", { className: "job", hidden: true }, make("p", {}, this.jobCommand), this.jobWords, make("div", { className: "actions" }, this.link, this.confirm, this.again, this.stop), this.saying);
  }

  goTo(event) {
    event.preventDefault();
    this.element.scrollIntoView();
    this.title.focus({ preventScroll: true });
  }

  show(step, number) {
    const running = Boolean(step.job && step.job.state === "running");
    const state = running ? "running" : step.state;
    this.title.textContent = `${number}. ${step.title}`;
    this.log.setAttribute("aria-label", `What the command says: ${step.title}`);
    this.words.textContent = step.words;
    this.told.textContent = step.told;
    this.item.className = state;
    if (!same([state, step.title], this.shown.item)) this.item.replaceChildren(`${number}. ${step.title}`, make("span", { className: "state", textContent: STATES[state] }));
    this.asking.hidden = !step.runs;
    this.run.textContent = running ? "It runs" : `Run: ${step.title}`;
    this.run.disabled = running;
    if (!same(step.fields, this.shown.fields)) this.showFields(step.fields);
    this.showJob(step.job);
    if (!same(step.charts, this.shown.charts)) this.showCharts(step.charts);
    if (!same(step.reports, this.shown.reports)) this.showReports(step.reports);
    this.shown = { item: [state, step.title], fields: step.fields, charts: step.charts, reports: step.reports, job: step.job, state: step.state };
    if (!this.asking.hidden && this.asked !== page.changes) this.showCommand();
  }

  // ---- fields and the command ----

  showFields(fields) {
    const focused = this.element.contains(document.activeElement) ? document.activeElement.id : "";
    this.kinds = Object.fromEntries(fields.map((field) => [field.name, field]));
    for (const field of fields) {
      const own = this.answers[field.name];
      if (field.kind === "choice" && own !== undefined && !field.options.some(([value]) => value === own)) delete this.answers[field.name];
    }
    const [usual, further] = [fields.filter((one) => !one.further), fields.filter((one) => one.further)];
    this.fields.replaceChildren(...usual.map((field) => this.makeField(field)));
    this.further.hidden = !further.length;
    this.further.lastChild.replaceChildren(...further.map((field) => this.makeField(field)));
    if (focused && get(focused)) get(focused).focus();
    this.asked = null;
  }

  makeField(field) {
    const id = `${this.name}-${field.name}`;
    const value = this.answers[field.name] ?? field.value;
    const help = field.help ? [make("small", { id: `${id}-help`, textContent: field.help })] : [];
    let input;
    if (field.kind === "choice") {
      input = make("select", { id, name: field.name }, ...field.options.map(([one, words]) => new Option(words, one, false, one === value)));
    } else if (field.kind === "tick") {
      input = make("input", { id, name: field.name, type: "checkbox", checked: Boolean(value) });
    } else {
      input = make("input", { id, name: field.name, value, maxLength: 100, autocomplete: "off", spellcheck: false });
      if (["number", "whole"].includes(field.kind)) input.inputMode = "decimal";
    }
    if (help.length) input.setAttribute("aria-describedby", `${id}-help`);
    const words = field.kind === "tick" ? make("label", {}, input, field.label) : make("label", { htmlFor: id }, field.label);
    return make("div", { className: field.kind === "tick" ? "field tick" : "field" }, words, ...(field.kind === "tick" ? [] : [input]), ...help);
  }

  answered(event) {
    const { name, type, checked, value } = event.target;
    if (!(this.kinds && name in this.kinds)) return;
    this.answers[name] = type === "checkbox" ? (checked ? "yes" : "") : value;
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.showCommand(), TYPED_MS);
  }

  get sent() {
    const answers = Object.fromEntries(Object.entries(this.answers).filter(([name]) => this.kinds && name in this.kinds));
    return { dataset: page.dataset, answers };
  }

  async showCommand() {
    this.asked = page.changes;
    const asked = (this.asking.latest = {});
    let answer;
    try {
      answer = await ask(`/api/command/${this.name}`, this.sent);
    } catch (error) {
      answer = { problem: error.message };
    }
    if (this.asking.latest !== asked) return;
    this.command.textContent = answer.command || answer.problem;
    this.copy.hidden = !answer.command;
    const running = this.shown.job && this.shown.job.state === "running";
    this.run.disabled = !answer.command || Boolean(running);
  }

  async copyCommand() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      page.say("The command is copied.");
    } catch {
      getSelection().selectAllChildren(this.command);
      page.say("The command is selected: copy it by Ctrl+C.");
    }
  }

  async start() {
    this.run.disabled = true;
    message("");
    try {
      await ask(`/api/run/${this.name}`, this.sent);
      page.say(`${this.title.textContent} has been started.`);
      this.saying.open = true;
    } catch (error) {
      told(error);
    }
    await page.load();
  }

  // ---- the job ----

  showJob(job) {
    this.job.hidden = !job;
    if (!job) return;
    const before = this.shown.job;
    this.job.className = `job ${job.state}`;
    this.jobCommand.textContent = job.command;
    const when = job.ended ? `${clock(job.began)} to ${clock(job.ended).slice(-5)}` : `since ${clock(job.began)}`;
    this.jobWords.textContent = `${job.words} (${when})`;
    this.link.hidden = !job.link;
    if (job.link) this.link.href = job.link;
    this.confirm.hidden = !job.confirm;
    this.again.hidden = !job.again;
    this.stop.hidden = job.state !== "running";
    const news = !before || before.number !== job.number || before.state !== job.state;
    if (news && ((before && before.state === "running") || !before) && !["running", "done"].includes(job.state)) this.saying.open = true;
    if (news && before) page.say(`${this.title.textContent}: ${job.words}`);
    if (this.saying.open && (news || job.state === "running")) this.loadLog();
  }

  async loadLog() {
    if (!this.saying.open || !this.shown.job) return;
    try {
      const { text } = await ask(`/api/jobs/${this.shown.job.number}/log`);
      if (this.log.textContent === text) return;
      const atEnd = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 20;
      this.log.textContent = text;
      if (atEnd) this.log.scrollTop = this.log.scrollHeight;
    } catch (error) {
      told(error);
    }
  }

  async act(what) {
    message("");
    for (const button of [this.confirm, this.again, this.stop]) button.disabled = true; // until the page is loaded
    try {
      await ask(`/api/jobs/${this.shown.job.number}/${what}`, {});
      if (what === "stop") page.say("It is asked to stop.");
    } catch (error) {
      told(error);
    }
    await page.load();
    for (const button of [this.confirm, this.again, this.stop]) button.disabled = false;
    if (what !== "stop") this.stop.focus();
  }

  // ---- charts and reports ----

  showCharts(charts) {
    const pages = charts.map((text) => new DOMParser().parseFromString(text, "text/html").body.firstElementChild);
    this.charts.replaceChildren(...pages);
    this.charts.hidden = !charts.length;
  }

  showReports(reports) {
    this.reports.replaceChildren(...reports.map((report) => make("button", { type: "button", textContent: `Open ${report}`, onclick: () => this.openReport(report) })));
  }

  async openReport(report) {
    const opened = window.open("", "_blank"); // now, as browsers allow it to a click alone
    try {
      const { page: address } = await ask("/api/report", { dataset: page.dataset, report });
      opened.opener = null;
      opened.location = address;
    } catch (error) {
      if (opened) opened.close();
      told(error);
    }
  }
}

// ---- the page ----

const page = {
  dataset: sessionStorage.getItem("dataset") || "",
  views: {},
  changes: 0,
  whole: "",
  ended: false,

  // Words for who does not see the page.
  say(text) {
    get("status").textContent = text;
  },

  async load() {
    clearTimeout(this.waiting);
    const asked = (this.latest = {});
    let busy = false;
    try {
      const state = await ask("/api/state", { dataset: this.dataset });
      if (this.latest !== asked) return;
      busy = state.steps.some((step) => step.job && step.job.state === "running");
      this.show(state);
      if (this.lost) message("");
      this.lost = false;
    } catch (error) {
      this.lost = true;
      if (!this.ended) told(error);
    }
    if (!this.ended) this.waiting = setTimeout(() => this.load(), busy ? POLL_MS : QUIET_POLL_MS);
  },

  show(state) {
    const folders = JSON.stringify(state.steps.map((step) => step.fields));
    if (folders !== this.whole) this.changes += 1;
    this.whole = folders;
    get("folder").textContent = state.folder;
    this.dataset = state.dataset;
    get("which").hidden = state.datasets.length < 2;
    if (!same(state.datasets, this.datasets)) get("dataset").replaceChildren(...state.datasets.map((one) => new Option(one, one)));
    this.datasets = state.datasets;
    get("dataset").value = state.dataset;
    state.steps.forEach((step, index) => {
      this.views[step.name] ??= new StepView(step.name);
      this.views[step.name].show(step, index + 1);
    });
    if (state.problems.length) message(state.problems.join("\n"));
  },

  async end() {
    try {
      await ask("/api/end", {});
      this.ended = true;
      clearTimeout(this.waiting);
      message("The page has ended, and this window can be closed. What runs goes on.");
      get("end").disabled = true;
    } catch (error) {
      told(error);
    }
  },
};

get("dataset").addEventListener("change", (event) => {
  page.dataset = event.target.value;
  sessionStorage.setItem("dataset", page.dataset);
  page.load();
});
get("end").addEventListener("click", () => page.end());
document.addEventListener("visibilitychange", () => document.hidden || page.ended || page.load());
page.load();
window.start = page;
