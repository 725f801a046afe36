// Makes and uses passkeys. Without this script its buttons are hidden, and the page says so.
//
// A form with data-passkey has a button, a line that says what went wrong, and a hidden field. The
// script puts the answer of the authenticator into that field, and sends the form.
{
  const RENEW = 240_000; // milliseconds: a challenge is good for five minutes
  const WORDS = {
    NotAllowedError: "Nothing was done: it was cancelled, or took too long.",
    InvalidStateError: "This device has a passkey of your account already.",
    SecurityError: "Passkeys belong to another address of this site. Open it there.",
    TypeError: "The site cannot be reached. Try it once more.",
  };

  const fetchOptions = async (form) => {
    const answer = await fetch(form.dataset.options, {
      method: "POST",
      headers: { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
    });
    if (answer.redirected) throw new Error("You were signed out. Load this page again.");
    const options = await answer.json();
    if (!answer.ok) throw new Error(options.detail);
    return options;
  };

  const ask = async (form, request) => {
    const options = await fetchOptions(form);
    if (form.dataset.passkey === "create") {
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
      return navigator.credentials.create({ ...request, publicKey });
    }
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    return navigator.credentials.get({ ...request, publicKey });
  };

  const send = (form, credential) => {
    form.elements.passkey.value = JSON.stringify(credential.toJSON());
    form.noValidate = true; // a passkey takes the place of the password
    form.requestSubmit();
  };

  const prepare = (form) => {
    const [button, said] = ["[data-use]", "[data-said]"].map((one) => form.querySelector(one));
    let offer = new AbortController();

    const press = async () => {
      if (button.getAttribute("aria-disabled")) return;
      offer.abort();
      said.hidden = true;
      button.setAttribute("aria-disabled", "true");
      try {
        send(form, await ask(form, {}));
      } catch (error) {
        said.textContent = WORDS[error.name] ?? error.message;
        said.hidden = false;
        offerPasskeys();
      } finally {
        button.removeAttribute("aria-disabled");
      }
    };

    // The browser offers passkeys where the username is typed, and waits.
    const offerPasskeys = async () => {
      if (!("autofill" in form.dataset)) return;
      if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
      offer = new AbortController();
      const { signal } = offer;
      const renewal = setTimeout(() => offer.abort("renewed"), RENEW);
      try {
        send(form, await ask(form, { mediation: "conditional", signal }));
      } catch {
        if (signal.reason === "renewed") offerPasskeys();
      } finally {
        clearTimeout(renewal);
      }
    };

    button.hidden = false;
    button.addEventListener("click", press);
    offerPasskeys();
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const without = form.querySelector("[data-without]");
    if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
      without.remove();
      prepare(form);
    } else {
      without.textContent = "This browser is too old for passkeys.";
    }
  }
}
