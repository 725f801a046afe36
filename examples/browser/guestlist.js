/**
 * A client of Guestlist that stays signed in when answers are lost or tabs are closed. Several tabs
 * may share its tokens. Copy it. It is an ES module without dependencies, for pages that are served
 * over HTTPS or from localhost.
 *
 *     const guestlist = new Guestlist("https://guestlist.example.org");
 *     await guestlist.logIn("alice", password);
 *     const me = await (await guestlist.request("GET", "me")).json();
 *
 * Any script that gets into a page of this origin (XSS) can use the tokens and copy them, wherever
 * a page keeps them. So load no foreign scripts, and set a Content-Security-Policy as index.html
 * does.
 *
 * A page on the same site as Guestlist needs no such module. There the person signs in at /login,
 * and the browser itself is the device. The page sends its HttpOnly cookie with a CSRF token.
 */

const REFRESH_AFTER = 0.8; // of the lifetime of an access token
const RETRY_DELAYS = [0, 1000, 2000, 4000]; // milliseconds before each repeat of a failed refresh
const TIMEOUT = 10_000; // milliseconds

// The codes of a 401 that say that the tokens are of no use any more. A gateway on the way also
// answers with 401 when it is out of order, and then the device is still signed in.
const ENDED = [
  "device_expired",
  "device_idle",
  "device_revoked",
  "password_changed",
  "refresh_invalid",
  "token_expired",
  "token_invalid",
  "user_inactive",
];

/** This client is not signed in any more. `code` says why, in the words of the API. If the device
 * was revoked, show its `reason` and `note` to the person. */
export class SignedOut extends Error {
  constructor({ code, reason = "", note = "" }) {
    super(code);
    Object.assign(this, { code, reason, note });
  }
}

/** A login, step-up or password change was refused with this `status`, or a gateway refused what
 * Guestlist never saw. The message says why. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.detail ?? Object.values(body).flat().join(" "));
    this.status = status;
  }

  static async from(answer) {
    return new Refused(answer.status, (await read(answer)) ?? { detail: `HTTP ${answer.status}` });
  }
}

/** One device. All tabs of this origin share its pair of tokens. The store always holds the
 * current pair, or the former pair with the `Idempotency-Key` that fetches the current one. */
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
   * Throws SignedOut, or what `fetch` throws when no answer comes, or Refused when a gateway
   * answers with 401 in Guestlist's place. An answer of 401 means: call `reauthenticate`, then
   * repeat the request.
   */
  async request(method, path, body) {
    const pair = await this.#loadInTime();
    const answer = await this.#send(pair, method, path, body);
    if (answer.status !== 401) return answer;
    return this.#locked(async () => {
      const successor = await this.#replace(pair, answer);
      // Under the lock, so that no other tab replaces the successor meanwhile.
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

  /** End this device. If no answer comes, the pair stays, so that you can call this again. */
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
      const pair = await this.#load(); // The last holder of the lock may have refreshed.
      return Date.now() < pair.refresh_at ? pair : this.#refresh(pair);
    });
  }

  /** The pair to repeat a refused request with. Null if the caller must see the 401 itself. Call
   * this with the lock. Throws SignedOut, or Refused if Guestlist did not refuse it. */
  async #replace(refused, answer) {
    const pair = await this.#load();
    // If another tab replaced it meanwhile, the refusal was of a former token.
    if (pair.access_token !== refused.access_token) return pair;
    const code = (await read(answer.clone()))?.code;
    if (code === "token_expired") return this.#refresh(pair);
    if (code === "reauthentication_required") return null;
    throw await this.#errorOf(answer);
  }

  /**
   * The next pair. Call it with the lock. Throws SignedOut.
   *
   * The key is stored before it is sent. If the answer is lost or the tab is closed, the same token
   * and key are sent again, and the answer is the pair that was lost.
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

  /** Ask for a new pair with a password. The former pair ends at once. The lock keeps
   * other tabs from refreshing it meanwhile. */
  #renew(path, body) {
    return this.#locked(async () => {
      const pair = await this.#refresh(await this.#load());
      await this.#keep(await this.#send(pair, "POST", path, body));
    });
  }

  /** Save the pair of the answer before it is used. Call it with the lock. Throws SignedOut. */
  async #keep(answer) {
    if (!answer.ok) throw await this.#errorOf(answer);
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

  /** What to throw for a refusal. If the device has ended, its pair is deleted. */
  async #errorOf(answer) {
    const refusal = answer.status === 401 ? await read(answer.clone()) : null;
    if (!ENDED.includes(refusal?.code)) return Refused.from(answer);
    await this.#store.delete();
    return new SignedOut(refusal);
  }

  #send(pair, method, path, body) {
    const headers = { Authorization: `Bearer ${pair.access_token}` };
    return this.#fetch(method, path, body, headers);
  }

  #post(path, body, headers = {}) {
    return this.#fetch("POST", path, body, headers);
  }

  /** Sends no cookies, because only the tokens say which device this is. */
  #fetch(method, path, body, headers) {
    return fetch(this.#api + path, {
      method,
      headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
      body: body && JSON.stringify(body),
      credentials: "omit",
      signal: AbortSignal.timeout(TIMEOUT),
    });
  }

  /** Let one tab in at a time. A tab that is closed gives up the lock. */
  #locked(act) {
    return navigator.locks.request(this.#name, act);
  }
}

/** The JSON of an answer. Null if it has none. */
function read(answer) {
  return answer.json().catch(() => null);
}

/** One value in IndexedDB. The tab that gets the lock sees there what the last holder put.
 * localStorage does not promise this: each process reads its own copy, a little late. */
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
