from django.urls import path

from tokens.views import account, activity, devices, passkeys, sign_in

urlpatterns = [
    path("devices/", devices.DevicesView.as_view(), name="devices"),
    path("devices/sign-out/", devices.SignOutChosenView.as_view(), name="sign_out_chosen"),
    path("devices/sign-out-others/", devices.SignOutOthersView.as_view(), name="sign_out_others"),
    path("devices/<uuid:id>/sign-out/", devices.SignOutView.as_view(), name="sign_out"),
    path("devices/<uuid:id>/rename/", devices.RenameView.as_view(), name="rename"),
    path("not-me/<str:token>", devices.NotMeView.as_view(), name="not_me"),
    path("password/change", sign_in.PasswordChangeView.as_view(), name="password_change"),
    path("password/reset", sign_in.PasswordResetView.as_view(), name="password_reset"),
    path(
        "password/reset/done",
        sign_in.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "password/reset/<uidb64>/<token>",
        sign_in.PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    path("account/", account.AccountView.as_view(), name="account"),
    path("account/activity/", activity.ActivityView.as_view(), name="activity"),
    path("account/names", account.NamesView.as_view(), name="names"),
    path("account/passkeys/", passkeys.PasskeysView.as_view(), name="passkeys"),
    path("account/passkeys/add", passkeys.AddPasskeyView.as_view(), name="passkey_add"),
    path("account/passkeys/options", passkeys.PasskeyOptionsView.as_view(), name="passkey_options"),
    path("account/passkeys/step-up", passkeys.StepUpOptionsView.as_view(), name="step_up_options"),
    path(
        "account/passkeys/<uuid:id>/rename",
        passkeys.RenamePasskeyView.as_view(),
        name="passkey_rename",
    ),
    path(
        "account/passkeys/first/<str:link>",
        passkeys.FirstPasskeyView.as_view(),
        name="passkey_first",
    ),
    path("account/passkeys/recover", passkeys.RecoverView.as_view(), name="passkey_recover"),
    path("account/passkeys/codes", passkeys.RecoveryCodesView.as_view(), name="recovery_codes"),
    path(
        "account/passkeys/<uuid:id>/remove",
        passkeys.RemovePasskeyView.as_view(),
        name="passkey_remove",
    ),
    path("account/data", account.DataView.as_view(), name="account_data"),
    path("account/delete", account.DeleteView.as_view(), name="account_delete"),
]
