import { Guestlist, SignedOut } from "./guestlist.js";

const guestlist = new Guestlist(document.documentElement.dataset.site);
const element = (id) => document.getElementById(id);
let afterStepUp;

/** Show who is signed in and where. Throws SignedOut, and then `attempt` shows the login form. */
async function show() {
  const me = await (await guestlist.request("GET", "me")).json();
  const devices = await (await guestlist.request("GET", "devices")).json();
  element("username").textContent = me.username;
  element("devices").replaceChildren(...devices.results.map(row));
  reveal("account");
}

function row(device) {
  const item = document.createElement("li");
  item.textContent = [device.name, device.label, device.location].filter(Boolean).join(", ");
  const end = document.createElement(device.is_current ? "em" : "button");
  end.textContent = device.is_current ? "This device" : "Sign out";
  if (!device.is_current) end.onclick = () => attempt(() => endDevice(device.id));
  item.append(" ", end);
  return item;
}

async function endDevice(id) {
  const answer = await guestlist.request("DELETE", `devices/${id}`);
  if (answer.status === 401) {
    afterStepUp = () => endDevice(id);
    reveal("step-up");
  } else {
    await show();
  }
}

function reveal(id) {
  for (const part of ["login", "account", "step-up"]) element(part).hidden = part !== id;
}

/** Run `act`. If it fails, show why. */
async function attempt(act) {
  element("message").textContent = "";
  try {
    await act();
  } catch (error) {
    if (error instanceof SignedOut) reveal("login");
    element("message").textContent = sentence(error);
  }
}

function sentence(error) {
  if (!(error instanceof SignedOut)) return error.message;
  if (error.code === "not_authenticated") return "";
  return `You were signed out (${error.reason || error.code}). ${error.note}`;
}

function onSubmit(id, act) {
  element(id).onsubmit = (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    event.target.reset();
    attempt(() => act(fields));
  };
}

onSubmit("login", async ({ username, password }) => {
  await guestlist.logIn(username, password);
  await show();
});
onSubmit("step-up", async ({ password }) => {
  await guestlist.reauthenticate(password);
  await afterStepUp();
});
element("logout").onclick = () =>
  attempt(async () => {
    await guestlist.logOut();
    await show();
  });
document.onvisibilitychange = () => {
  // The person may have signed out in another tab meanwhile.
  if (!document.hidden && !element("account").hidden) attempt(show);
};
attempt(show);
