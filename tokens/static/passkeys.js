// Makes and uses passkeys. Without this script there are no buttons for them, and the page says so.
//
// A form with data-passkey has such a button, and a line that says what went wrong. A field for a
// password with data-passkey gets both here. The answer of the authenticator is sent with the form.
{
  const RENEW = 240_000; // milliseconds: a challenge is good for five minutes
  const WORDS = {
    NotAllowedError: "Nothing was done: it was cancelled, or took too long.",
    InvalidStateError: "This device has a passkey of your account already.",
    SecurityError: "Passkeys belong to another address of this site. Open it there.",
    TypeError: "The site cannot be reached. Try it once more.",
  };

  // What staff show for a new passkey: the link of the page, or the recovery code that they type.
  const vouchers = (form) => {
    const shown = ["link", "recovery_code"].filter((name) => form.elements[name]);
    return new URLSearchParams(shown.map((name) => [name, form.elements[name].value]));
  };

  const fetchOptions = async (form, address) => {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      body: vouchers(form),
    });
    if (answer.redirected) throw new Error("You were signed out. Load this page again.");
    const options = await answer.json();
    if (!answer.ok) throw new Error(options.detail);
    return options;
  };

  const create = async (form, address) => {
    const options = await fetchOptions(form, address);
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey });
  };

  const use = async (form, address, how = {}) => {
    const options = await fetchOptions(form, address);
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return navigator.credentials.get({ ...how, publicKey });
  };

  const send = (form, credential) => {
    const field = form.elements.passkey ?? form.appendChild(document.createElement("input"));
    Object.assign(field, { type: "hidden", name: "passkey" });
    field.value = JSON.stringify(credential.toJSON());
    form.noValidate = true; // a passkey takes the place of the password
    form.requestSubmit(form.querySelector("[type=submit][name=_save]")); // in the admin, as "Save" does
  };

  // `ask` asks the authenticator. Before and after it, the browser may wait for its own offer.
  const wire = (form, button, said, ask, { before = () => {}, after = () => {} } = {}) => {
    const press = async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-disabled")) return;
      if (button.type === "submit" && !form.reportValidity()) return;
      before();
      said.hidden = true;
      button.setAttribute("aria-disabled", "true");
      try {
        send(form, await ask());
      } catch (error) {
        said.textContent = WORDS[error.name] ?? error.message;
        said.hidden = false;
        after();
      } finally {
        button.removeAttribute("aria-disabled");
      }
    };
    button.hidden = false;
    button.addEventListener("click", press);
  };

  // The browser offers passkeys where the username is typed, and waits.
  const offer = (form, address) => {
    let waiting = new AbortController();
    const wait = async () => {
      if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
      waiting = new AbortController();
      const { signal } = waiting;
      const renewal = setTimeout(() => waiting.abort("renewed"), RENEW);
      try {
        send(form, await use(form, address, { mediation: "conditional", signal }));
      } catch {
        if (signal.reason === "renewed") wait();
      } finally {
        clearTimeout(renewal);
      }
    };
    wait();
    return { before: () => waiting.abort(), after: wait };
  };

  const prepareForm = (form) => {
    const { passkey, options } = form.dataset;
    const [button, said] = ["[data-use]", "[data-said]"].map((one) => form.querySelector(one));
    form.querySelector("[data-without]").remove();
    const ask = () => (passkey === "create" ? create : use)(form, options);
    wire(form, button, said, ask, "autofill" in form.dataset ? offer(form, options) : {});
    if (button.autofocus) button.focus(); // it was hidden when the browser looked
  };

  const prepareField = (field) => {
    field.form.querySelector("[data-without]")?.remove();
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "btn button", textContent: "Use a passkey" });
    const said = document.createElement("p");
    Object.assign(said, { className: "msg error errornote", hidden: true });
    said.setAttribute("role", "alert");
    const line = document.createElement("p");
    line.append(button);
    (field.closest(".secret") ?? field).after(line, said);
    wire(field.form, button, said, () => use(field.form, field.dataset.passkey));
  };

  if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
    document.querySelectorAll("form[data-passkey]").forEach(prepareForm);
    document.querySelectorAll("input[data-passkey]").forEach(prepareField);
  } else {
    for (const said of document.querySelectorAll("[data-without]")) {
      said.textContent = "This browser is too old for passkeys.";
    }
  }
}
