// The page is whole without this: it lights up one trial in every figure, shows what it is, and copies commands.
const tip = document.getElementById("tip");
let kept = null;

function light(trial) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  document.body.classList.toggle("lit", trial !== null);
  if (trial !== null) for (const mark of document.querySelectorAll(`[data-t="${trial}"]`)) mark.classList.add("lit");
}

function show(trial, event) {
  tip.hidden = trial === null || !(trial in notes);
  if (tip.hidden) return;
  tip.textContent = notes[trial];
  const room = { x: innerWidth - tip.offsetWidth - 8, y: innerHeight - tip.offsetHeight - 8 };
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, room.x))}px`;
  tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, room.y))}px`;
}

function trialAt(event) {
  const mark = event.target.closest("[data-t]");
  return mark === null ? null : mark.dataset.t;
}

document.addEventListener("mouseover", (event) => {
  const trial = trialAt(event);
  show(trial, event);
  light(trial ?? kept);
});
document.addEventListener("click", (event) => {
  const trial = trialAt(event);
  if (event.target.tagName === "BUTTON") return copy(event.target);
  kept = trial === kept ? null : trial;
  light(kept);
});

function copy(button) {
  getSelection().selectAllChildren(button.previousElementSibling);
  document.execCommand("copy"); // works on a page that was opened as a file, where the clipboard API may not
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}
