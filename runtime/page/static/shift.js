// What was counted since the shift began, and who may begin another.

import { element, show } from "./dom.js";
import { post } from "./label.js";
import { clock, t } from "./words.js";

const SURE_MS = 4000;

export function showShift(state) {
  show("since", t("since", { time: clock(state.shift.since) }));
  element("shift").hidden = state.operator !== true;
  element("operator").hidden = state.operator === null;
  element("sign-in").hidden = state.operator === true;
}

// Asked twice: a glove that slips must not cost the counts of a shift.
let asked = null;

function calm() {
  clearTimeout(asked);
  asked = null;
  show("shift", t("shift"));
}

element("shift").addEventListener("click", async () => {
  if (asked === null) {
    show("shift", t("shift.sure"));
    asked = setTimeout(calm, SURE_MS);
    return;
  }
  calm();
  await post("shift", {}).catch((error) => show("since", error.message));
});
element("become").addEventListener("click", () => element("token").showModal());
