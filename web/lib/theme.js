// Before anything is painted: the theme that was chosen, if one was. The system's otherwise.
// A classic script, so that it runs before the first paint.

const roomcastTheme = {
  get chosen() {
    return localStorage.getItem("roomcast.theme") ?? "auto";
  },
  choose(theme) {
    if (theme === "auto") localStorage.removeItem("roomcast.theme");
    else localStorage.setItem("roomcast.theme", theme);
    this.apply();
  },
  apply() {
    const root = document.documentElement;
    if (this.chosen === "auto") delete root.dataset.theme;
    else root.dataset.theme = this.chosen;
    dispatchEvent(new Event("roomcast-theme"));
  },
};
globalThis.roomcastTheme = roomcastTheme;
roomcastTheme.apply();
