// Finds the sections that have all words: those that have them in the heading first, then the shorter ones.
"use strict";

const MOST = 30;
const AROUND = 60;

function rank(section, words) {
  const heading = `${section.title} ${section.heading}`.toLowerCase();
  const text = section.text.toLowerCase();
  if (!words.every((word) => heading.includes(word) || text.includes(word))) return null;
  const inHeading = words.filter((word) => heading.includes(word)).length;
  return inHeading * 1e6 - text.length;
}

function search(asked) {
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return INDEX.map((section) => [rank(section, words), section])
    .filter(([rank]) => rank !== null)
    .sort(([one], [other]) => other - one)
    .slice(0, MOST)
    .map(([, section]) => [section, excerpt(section.text, words)]);
}

function excerpt(text, words) {
  const at = Math.max(0, text.toLowerCase().indexOf(words[0]));
  return text.slice(Math.max(0, at - AROUND), at + AROUND * 2);
}

function show(asked) {
  const found = document.getElementById("found");
  found.replaceChildren(
    ...search(asked).map(([section, text]) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `${section.page}#${section.id}`;
      link.textContent = section.heading === section.title ? section.title : `${section.title}: ${section.heading}`;
      const said = document.createElement("p");
      said.textContent = text;
      item.append(link, said);
      return item;
    }),
  );
}

const field = document.getElementById("search");
field.addEventListener("input", () => show(field.value));
