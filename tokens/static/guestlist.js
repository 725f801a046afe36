// Shows times in the reader's own time zone, and UTC in their titles. Without this script they are
// in UTC, and the page says so.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

for (const time of document.querySelectorAll("time[datetime]")) {
  const local = format.format(new Date(time.dateTime));
  if (time.matches(".clock")) {
    time.textContent = clock.format(new Date(time.dateTime));
  } else if (time.title.startsWith(time.textContent)) {
    time.textContent = local;
  }
  const exact = time.querySelector(".vh");
  if (exact) {
    exact.textContent = ` (${local})`;
  }
  time.title = `${local} (${time.title})`;
}

const zone = document.getElementById("zone");
if (zone) {
  zone.textContent = `your time zone, ${format.resolvedOptions().timeZone}`;
}
