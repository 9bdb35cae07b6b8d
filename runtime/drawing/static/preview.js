const at = (id) => document.getElementById(id);
const PAUSE_MS = 200;
const take = () => fetch("take", { method: "POST" });

async function turn() {
  const state = await (await fetch("count")).json();
  at("count").textContent = state.pictures;
  at("place").textContent = state.place;
  at("take").hidden = !state.button;
  const answer = await fetch("newest.jpg");
  if (!answer.ok) return;
  const before = at("newest").src;
  at("newest").src = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    answer.blob().then((blob) => reader.readAsDataURL(blob));
  });
  document.body.dataset.seen = before === at("newest").src ? "same" : "new";
}

at("take").addEventListener("click", take);
document.addEventListener("keydown", (event) => {
  if (event.code !== "Space" || event.repeat || at("take").hidden) return;
  event.preventDefault();
  take();
});
for (;;) {
  try {
    await turn();
    at("trouble").hidden = true;
  } catch {
    at("trouble").hidden = false;
  }
  await new Promise((done) => setTimeout(done, PAUSE_MS));
}
