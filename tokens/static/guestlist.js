// Shows times in the reader's own time zone. Without this script they are in UTC, and say so.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

for (const time of document.querySelectorAll("time[datetime]")) {
  const local = format.format(new Date(time.dateTime));
  if (time.matches(".clock")) {
    time.textContent = clock.format(new Date(time.dateTime));
  } else if (time.textContent === time.title) {
    time.textContent = local;
  }
  const exact = time.querySelector(".vh");
  if (exact) {
    exact.textContent = ` (${local})`;
  }
  time.title = local;
}
