// The owner's page: a table of the raters, renewed every few seconds.

const EVERY_MS = 5000;
const percent = (x) => `${Math.round(100 * x)} %`;
const digits = (x) => x.toFixed(2);
const whole = (x) => `${x}`;

// key, heading, how it is written, what it means, below what it is marked
const COMMON = [
  ["answers", "Answers", whole, "all answers, hidden repeats and sanity items counted"],
  ["broken", "Broken", whole, "items flagged as broken"],
  ["seconds", "Seconds", (x) => x.toFixed(1), "median time of an answer"],
];
const HIDDEN = [
  ["repeats", "Repeats", whole, "items that were shown a second time"],
  ["same", "Same", percent, "of them answered as the first time", 0.5],
  ["sanity", "Sanity", whole, "items whose answer is known"],
  ["passed", "Passed", percent, "of them answered rightly: 0 for an unchanged picture, no winner between equal ones", 0.8],
];
const SCORES = [
  ["mean", "Mean", digits, "mean score, repeats and sanity items left out"],
  ["sd", "SD", digits, "standard deviation of the scores"],
  ["shared", "Shared", whole, "edits that others scored too"],
  ["mae", "MAE", digits, "mean absolute difference from the others' mean"],
  ["kappa", "Kappa", digits, "quadratic-weighted kappa with the others' rounded mean: 1 is full agreement, 0 chance", 0.4],
  ["repeat_mae", "Repeat MAE", digits, "mean absolute difference between first and second time"],
];
const VOTES = [
  ["ties", "No winner", percent, "ties and both bad"],
  ["left", "Left", percent, "of the wins that went to the left; 50 % shows no habit"],
  ["shared", "Shared", whole, "votes of others on the same pairs"],
  ["agree", "Agree", percent, "of those that say the same", 0.4],
];
const $ = (id) => document.getElementById(id);

renew();

async function renew() {
  try {
    const reply = await fetch("/api/agreement");
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    draw(await reply.json());
  } catch (error) {
    $("said").textContent = `The server does not answer (${error.message}); figures are as of before.`;
  }
  setTimeout(renew, EVERY_MS);
}

function draw({ mode, raters }) {
  const columns = [...COMMON, ...(mode === "score" ? SCORES : VOTES), ...HIDDEN];
  const count = raters.reduce((sum, { answers }) => sum + answers, 0);
  $("said").textContent = `${raters.length} ${raters.length === 1 ? "rater" : "raters"}, ${count} answers. Renewed every ${EVERY_MS / 1000} seconds.`;
  $("head").replaceChildren(row(["Rater", ...columns.map(([, title]) => title)].map((text) => cell("th", text))));
  $("body").replaceChildren(...raters.map((one) => row([cell("th", one.rater), ...columns.map((c) => figure(one, c))])));
  $("legend").replaceChildren(...columns.flatMap(([, title, , meaning]) => [cell("dt", title), cell("dd", meaning)]));
}

function figure(one, [key, , write, , low]) {
  const value = one[key];
  const made = cell("td", value === null ? "\u2013" : write(value));
  if (value !== null && low !== undefined && value < low) made.className = "low";
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function cell(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
