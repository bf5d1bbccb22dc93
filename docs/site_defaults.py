"""Defaults on the API pages: the values of settings that signatures take, in place of names."""

import griffe


class SettingsDefaults(griffe.Extension):
    """`n_hidden=DensitySettings.n_hidden` is shown as the value that the settings have."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs) -> None:
        """Go through all functions once everything is loaded."""
        for member in pkg.members.values():
            self._visit(member)

    def _visit(self, found: griffe.Object | griffe.Alias) -> None:
        if isinstance(found, griffe.Function):
            for parameter in found.parameters:
                parameter.default = self._value(found, parameter.default)
        elif isinstance(found, griffe.Module | griffe.Class):
            for member in found.members.values():
                self._visit(member)

    def _value(self, function: griffe.Function, default: object) -> object:
        owner, _, name = str(default).partition(".")
        if not name.isidentifier() or not owner.endswith("Settings"):
            return default
        settings = function.parent.parent[owner]
        return settings.members[name].value or default
