export const element = (id) => document.getElementById(id);

export function show(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

export function fill(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A language file may name a code that no browser knows.
export function locale() {
  try {
    return Intl.getCanonicalLocales(document.documentElement.lang)[0] || "en";
  } catch {
    return "en";
  }
}

// As the page's language writes numbers.
export function fixed(value, digits) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
}

export function made(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// Children by key: what stays is neither made anew nor moved, so that a finger on it is on it still.
export function reconcile(parent, items, keyOf, make, refresh) {
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const node of [...parent.children]) if (!wanted.has(node.dataset.key)) node.remove();
  const there = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let at = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let node = there.get(key);
    if (!node) {
      node = make(item);
      node.dataset.key = key;
    }
    refresh(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}
