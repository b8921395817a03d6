// Renews the page every two seconds, and says so when there is nobody left who
// answers.
"use strict";
(function again() {
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href, {cache: "no-store"});
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = next.querySelector("main");
      if (!answer.ok || !fresh) throw new Error(answer.statusText);
      if (document.querySelector("details[open]")) fresh.querySelectorAll("details").forEach(d => { d.open = true; });
      document.title = next.title;
      document.querySelector("main").replaceWith(fresh);
    } catch (_) {
      document.getElementById("gone").textContent =
        "The run has ended or can't be reached: this is the last that was seen of it. report.html tells how it ended.";
    }
    again();
  }, 2000);
})();
