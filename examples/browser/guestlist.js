/**
 * A client of Guestlist that no lost answer, closed tab or second tab signs out. Copy it: an ES
 * module without dependencies, for pages served over HTTPS or from localhost.
 *
 *     const guestlist = new Guestlist("https://guestlist.example.org");
 *     await guestlist.logIn("alice", password);
 *     const me = await (await guestlist.request("GET", "me")).json();
 *
 * Any script that gets into a page of this origin (XSS) can use the tokens and copy them, wherever
 * a page keeps them. So load no foreign scripts, set a Content-Security-Policy as index.html does,
 * and if the page is on the same site as Guestlist, do without this module: sign in at /login,
 * which makes the browser itself the device, and send its HttpOnly cookie with a CSRF token.
 */

const REFRESH_AFTER = 0.8; // of the lifetime of an access token
const RETRY_DELAYS = [0, 1000, 2000, 4000]; // milliseconds between the attempts of one refresh
const TIMEOUT = 10_000; // milliseconds

/** Nobody is signed in here any more. `code` says why, in the words of the API; of a revoked
 * device there are a `reason`, and a `note` to show to the person. */
export class SignedOut extends Error {
  constructor({ code, reason = "", note = "" }) {
    super(code);
    Object.assign(this, { code, reason, note });
  }
}

/** A login, step-up or password change that was refused: its `status`, and why as the message. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? Object.values(body).flat().join(" "));
    this.status = status;
  }

  static async from(answer) {
    const body = await answer.json().catch(() => ({ detail: `HTTP ${answer.status}` }));
    return new Refused(answer.status, body);
  }
}

/** One device, whose pair of tokens all tabs of this origin share. The store always holds the
 * current pair, or the former one with the key that asks for it. */
export class Guestlist {
  #api;
  #store;
  #name;

  constructor(site, name = "guestlist") {
    this.#api = `${site}/api/v1/`;
    this.#store = new Store(name);
    this.#name = name;
  }

  /** Sign in on a new device. Throws Refused. */
  async logIn(username, password, deviceName = "") {
    const answer = await this.#post("login", { username, password, device_name: deviceName });
    if (!answer.ok) throw await Refused.from(answer);
    await this.#locked(() => this.#keep(answer));
  }

  /**
   * The Response to a request below /api/v1/.
   *
   * Throws SignedOut, or what `fetch` throws when no answer came. An answer of 401 asks for
   * `reauthenticate`, after which the same request passes.
   */
  async request(method, path, body) {
    const pair = await this.#loadInTime();
    const answer = await this.#send(pair, method, path, body);
    if (answer.status !== 401) return answer;
    return this.#locked(async () => {
      const successor = await this.#replace(pair, answer);
      // Under the lock, so that nobody replaces the successor while it is used.
      return successor ? this.#send(successor, method, path, body) : answer;
    });
  }

  /** Give the password again. Throws Refused when it is wrong. */
  reauthenticate(password) {
    return this.#renew("reauthenticate", { password });
  }

  /** Change the password and end all other devices. Throws Refused. */
  changePassword(currentPassword, newPassword) {
    const body = { current_password: currentPassword, new_password: newPassword };
    return this.#renew("password", body);
  }

  /** End this device. When no answer comes the pair stays, so that it can be tried again. */
  async logOut() {
    try {
      const answer = await this.request("POST", "logout");
      if (!answer.ok) throw await Refused.from(answer);
    } catch (error) {
      if (!(error instanceof SignedOut)) throw error;
    }
    await this.#locked(() => this.#store.delete());
  }

  /** The stored pair, refreshed if its access token is about to expire. */
  async #loadInTime() {
    const pair = await this.#load();
    if (Date.now() < pair.refresh_at) return pair;
    return this.#locked(async () => {
      const pair = await this.#load(); // Whoever had the lock may have refreshed.
      return Date.now() < pair.refresh_at ? pair : this.#refresh(pair);
    });
  }

  /** The pair to try once more with after a 401, null when the answer is for the caller; call it
   * with the lock. */
  async #replace(refused, answer) {
    const pair = await this.#load();
    // If another tab replaced it meanwhile, the refusal says nothing.
    if (pair.access_token !== refused.access_token) return pair;
    const { code } = await answer.clone().json();
    if (code === "token_expired") return this.#refresh(pair);
    if (code === "reauthentication_required") return null;
    throw await this.#forgetFor(answer);
  }

  /**
   * The next pair; call it with the lock.
   *
   * The key is stored before it is sent. Whoever finds it, in this loop or after the tab was
   * closed, repeats the refresh it belongs to and gets the pair whose answer was lost.
   */
  async #refresh(pair) {
    if (!pair.attempt) {
      pair = { ...pair, attempt: crypto.randomUUID() };
      await this.#store.put(pair);
    }
    const body = { refresh_token: pair.refresh_token };
    const headers = { "Idempotency-Key": pair.attempt };
    for (const delay of RETRY_DELAYS) {
      try {
        return await this.#keep(await this.#post("refresh", body, headers));
      } catch (error) {
        if (error instanceof SignedOut) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
    return this.#keep(await this.#post("refresh", body, headers));
  }

  /** Ask for a pair with a password. The former one ends at once, so nobody may refresh. */
  #renew(path, body) {
    return this.#locked(async () => {
      const pair = await this.#refresh(await this.#load());
      await this.#keep(await this.#send(pair, "POST", path, body));
    });
  }

  /** Save the pair that was answered, before anybody uses it; call it with the lock. */
  async #keep(answer) {
    if (answer.status === 401) throw await this.#forgetFor(answer);
    if (!answer.ok) throw await Refused.from(answer);
    const pair = await answer.json();
    pair.refresh_at = Date.now() + REFRESH_AFTER * 1000 * pair.expires_in;
    await this.#store.put(pair);
    return pair;
  }

  async #load() {
    const pair = await this.#store.get();
    if (!pair) throw new SignedOut({ code: "not_authenticated" });
    return pair;
  }

  /** Forget the pair that was refused; what to throw for it. */
  async #forgetFor(answer) {
    const signedOut = new SignedOut(await answer.json());
    await this.#store.delete();
    return signedOut;
  }

  #send(pair, method, path, body) {
    const headers = { Authorization: `Bearer ${pair.access_token}` };
    return this.#fetch(method, path, body, headers);
  }

  #post(path, body, headers = {}) {
    return this.#fetch("POST", path, body, headers);
  }

  /** Without cookies: the tokens alone say who this is. */
  #fetch(method, path, body, headers) {
    return fetch(this.#api + path, {
      method,
      headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
      body: body && JSON.stringify(body),
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT),
    });
  }

  /** One tab at a time. A tab that is closed lets go of the lock. */
  #locked(act) {
    return navigator.locks.request(this.#name, act);
  }
}

/** One value in IndexedDB. There, whoever gets the lock sees what its last holder put, which
 * localStorage does not promise: each process reads its own copy, a little late. */
class Store {
  #database;

  constructor(name) {
    this.#database = new Promise((resolve, reject) => {
      const request = indexedDB.open(name);
      request.onupgradeneeded = () => request.result.createObjectStore("pairs");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  get() {
    return this.#transact("readonly", (pairs) => pairs.get("pair"));
  }

  put(pair) {
    return this.#transact("readwrite", (pairs) => pairs.put(pair, "pair"));
  }

  delete() {
    return this.#transact("readwrite", (pairs) => pairs.delete("pair"));
  }

  async #transact(mode, act) {
    const database = await this.#database;
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("pairs", mode, { durability: "strict" });
      const request = act(transaction.objectStore("pairs"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}
