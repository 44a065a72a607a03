// Lets the reader of the API's reference send requests. Without it the page is the same, and only to be read.
"use strict";
(() => {
  const key = document.querySelector("#key");
  document.querySelector("[data-key]").hidden = false;
  document.querySelector("[data-key-form]").addEventListener("submit", (event) => event.preventDefault());

  const request = (form) => {
    let path = form.dataset.path;
    const query = new URLSearchParams();
    for (const field of form.querySelectorAll("input")) {
      if (!field.value) continue;
      if (field.dataset.in === "path") {
        path = path.replace(`{${field.name}}`, field.value.split("/").map(encodeURIComponent).join("/"));
      } else if (field.name.endsWith("{property}")) {
        // As it is written in a URL: model=small.
        const [property, ...text] = field.value.split("=");
        query.append(field.name.replace("{property}", property), text.join("="));
      } else {
        const values = field.dataset.repeatable === undefined ? [field.value] : field.value.split(",");
        for (const value of values) query.append(field.name, value.trim());
      }
    }
    const headers = key.value ? { authorization: `Bearer ${key.value}` } : {};
    const body = form.querySelector("textarea")?.value || undefined;
    if (body !== undefined) headers["content-type"] = form.dataset.media;
    const asked = query.size ? `${path}?${query}` : path;
    return [asked, { method: form.dataset.method, headers, body, credentials: "omit" }];
  };

  for (const form of document.querySelectorAll("[data-try]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const answer = form.querySelector(".answer");
      answer.hidden = false;
      answer.textContent = "…";
      try {
        const [path, options] = request(form);
        const response = await fetch(path, options);
        const text = await response.text();
        answer.textContent = `${form.dataset.method} ${path}\n${response.status} ${response.statusText}\n\n${text}`;
      } catch (failure) {
        answer.textContent = `The server does not answer: ${failure.message}`;
      }
    });
  }
})();
